"""``NAME=VALUE`` as typed in a shell, read as values for the axes of a sweep."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from toolkit.commands.outcome import CommandError

if TYPE_CHECKING:
    from toolkit.spaces.axis import Dim
    from toolkit.spaces.space import Space
    from toolkit.sweep import Sweep

_BOOLS = {"true": True, "false": False}
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?)?)?")


def parse_assignments(texts: Iterable[str], space: "Space | None" = None) -> dict[str, str]:
    """Return ``NAME=VALUE`` as names and texts.

    The value may be empty where the parameter's labels in ``space`` are texts, one of them empty.

    Raises
    ------
    CommandError
        If there is no ``=``, nothing after it, or a name twice.

    Examples
    --------
    >>> parse_assignments(["beta=.1,.2", "model=svm"])
    {'beta': '.1,.2', 'model': 'svm'}
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name and (value or _has_empty(space, name))):
            raise CommandError(f"{text!r} is not NAME=VALUE, such as beta=.3.")
        if name in found:
            raise CommandError(f"{name!r} is given twice. Write its values as {name}=a,b.")
        found[name] = value
    return found


def with_axes(sweep: "Sweep", texts: Iterable[str]) -> "Sweep":
    """Return the sweep with other values of some parameters, as ``--set`` gives them.

    Raises
    ------
    CommandError
        If a value cannot be read, or the parameter cannot be given values this way.
    SpaceError
        If no parameter has that name.
    """
    for name, text in parse_assignments(texts).items():
        dim = _dim(sweep.space, name)
        if dim is not None and dim.kind == "replicates":
            sweep = _with_replicates(sweep, dim, text)
            continue
        values = new_values(text, name, dim)
        if dim is None or not _is_labelled_objects(dim):
            sweep = sweep.extend({name: values})
        sweep = sweep.sel({name: values})
    return sweep


def with_selection(sweep: "Sweep", texts: Iterable[str]) -> "Sweep":
    """Return the part of the sweep that ``--sel`` asks for.

    Raises
    ------
    CommandError
        If a value cannot be read.
    SpaceError
        If a name or label is not in the space.
    """
    chosen = {
        name: selected(text, name, _dim(sweep.space, name))
        for name, text in parse_assignments(texts, sweep.space).items()
    }
    return sweep.sel(chosen) if chosen else sweep


def point(sweep: "Sweep", texts: Iterable[str]) -> dict[str, object]:
    """Return the labels of one point."""
    return {
        name: one(text, name, _dim(sweep.space, name))
        for name, text in parse_assignments(texts, sweep.space).items()
    }


def new_values(text: str, name: str, dim: "Dim | None") -> Any:
    """Return a value, a list of values, or the numbers of ``start:stop:n``.

    Parameters
    ----------
    text
        Values with commas between them, or ``start:stop:n`` for ``n`` numbers, both ends
        included.
    name, dim
        The parameter, and its dim if it has one, whose labels say how to read the text. An axis
        gets a list even of one value, a constant or a default a value.
    """
    start, stop, number = (*text.split(":"), "", "")[:3] if text.count(":") == 2 else ("", "", "")
    if number and _kind(dim) in ("number", None):
        return _between(start, stop, number, name, dim)
    parts = _parts(text, name)
    values = [one(part, name, dim) for part in parts]
    lasting = dim is not None and dim.kind != "constant"
    return values if lasting or len(values) > 1 or text.endswith(",") else values[0]


def selected(text: str, name: str, dim: "Dim | None") -> Any:
    """Return a label, a list of labels, or a slice of labels.

    Parameters
    ----------
    text
        A label, labels with commas between them, or ``low:high`` with either end left out.
    name, dim
        The parameter, and its dim if it has one.
    """
    kind = _kind(dim)
    known = set(dim.labels.tolist()) if dim is not None and kind == "text" else set()
    if text in known:
        return text
    if set(text.split(",")) <= known:  # labels of text may have colons of their own
        return text.split(",")

    def read(part: str) -> Any:
        value = one(part, name, dim)
        return part if kind == "date" else value  # a slice up to "2024" includes all of that year

    bounds = _bounds(text, kind)
    if bounds is not None:
        low, high = (read(end) if end else None for end in bounds)
        return slice(low, high)
    parts = _parts(text, name)
    if len(parts) == 1 and not text.endswith(","):
        return read(parts[0])
    return [read(part) for part in parts]


def one(text: str, name: str, dim: "Dim | None") -> Any:
    """Return one value, read as the labels of its dim are.

    Raises
    ------
    CommandError
        If the labels are numbers, say, and the text is not one.
    """
    kind = _kind(dim)
    if kind is None:
        return _guessed(text)
    assert dim is not None
    readers: dict[str, Callable[[str], Any]] = {
        "number": lambda text: _number(text, as_float=dim.labels.dtype.kind == "f"),
        "bool": lambda text: _BOOLS[text.lower()],
        "date": _date,
        "duration": _duration,
        "text": str,
    }
    try:
        return readers[kind](text)
    except (ValueError, KeyError):
        raise CommandError(
            f"{name}={text!r}: {name!r} has {_DESCRIPTIONS[kind]}, and this is not one."
        ) from None


_DESCRIPTIONS = {
    "number": "numbers",
    "bool": "the values true and false",
    "date": "dates such as 2024-05-01",
    "duration": "durations such as '3h' or '2 days'",
}


def _with_replicates(sweep: "Sweep", dim: "Dim", text: str) -> "Sweep":
    from toolkit.spaces.grid import replicates

    if not text.isdecimal() or int(text) < 1:
        raise CommandError(
            f"{dim.name}={text!r}: {dim.name!r} are replicates; give their number, such as "
            f"{dim.name}=20, or take some with --sel {dim.name}=3."
        )
    grown = sweep.extend({dim.name: replicates(max(int(text), dim.size), common=dim.common)})
    return grown.isel({dim.name: slice(int(text))})


def _dim(space: "Space", name: str) -> "Dim | None":
    return next((dim for dim in space.dims if dim.name == name), None)


def _has_empty(space: "Space | None", name: str) -> bool:
    dim = None if space is None else _dim(space, name)
    return dim is not None and "" in dim.labels.tolist()


def _kind(dim: "Dim | None") -> str | None:
    from toolkit.spaces.labels import kind_of

    return None if dim is None else kind_of(dim.labels)


def _is_labelled_objects(dim: "Dim") -> bool:
    """Whether runs get objects, which a shell cannot write: its labels can only be chosen."""
    return any(column.objects is not None for column in dim.columns)


def _parts(text: str, name: str) -> list[str]:
    parts = text.removesuffix(",").split(",")
    if not all(parts):
        raise CommandError(f"{name}={text!r} has an empty value between its commas.")
    return parts


def _between(start: str, stop: str, number: str, name: str, dim: "Dim | None") -> list[Any]:
    import numpy as np

    try:
        count = int(number)
        ends = _number(start), _number(stop)
    except ValueError:
        count = 0
    if count < 1:
        raise CommandError(
            f"{name}={start}:{stop}:{number} is not start:stop:n, such as {name}=0.1:0.5:41 for "
            "41 numbers from 0.1 to 0.5."
        )
    values: list[float] = np.linspace(*ends, count).tolist()
    floats = dim is not None and dim.labels.dtype.kind == "f"
    if not floats and all(isinstance(end, int) for end in ends):
        whole = [int(value) for value in values]
        return whole if whole == values else values
    return values


def _bounds(text: str, kind: str | None) -> tuple[str, str] | None:
    """Return the two ends of ``low:high``; times have colons of their own."""
    reader = _TIMES.get(kind or "")
    if ":" not in text or kind == "bool" or (reader is not None and _is(reader, text)):
        return None
    halves = [(text[:at], text[at + 1 :]) for at, letter in enumerate(text) if letter == ":"]
    if reader is None:
        return halves[0] if len(halves) == 1 else None
    return next((ends for ends in halves if all(not end or _is(reader, end) for end in ends)), None)


def _is(reader: Callable[[str], object], text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return False
    return True


def _number(text: str, *, as_float: bool = False) -> int | float:
    try:
        return float(text) if as_float else int(text)
    except ValueError:
        return float(text)


def _guessed(text: str) -> object:
    if text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    try:
        return _number(text)
    except ValueError:
        return text


def _date(text: str) -> object:
    import numpy as np

    if _DATE.fullmatch(text) is None:  # numpy takes more for dates, and zones with a warning
        raise ValueError(text)
    return np.datetime64(text)


def _duration(text: str) -> object:
    import pandas as pd

    value = pd.Timedelta(text)
    if pd.isna(value):
        raise ValueError(text)
    return value


_TIMES: dict[str, Callable[[str], object]] = {"date": _date, "duration": _duration}
