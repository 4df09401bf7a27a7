"""A space in words, for terminals and notebooks."""

from html import escape
from typing import TYPE_CHECKING

from toolkit.markup import folded, view
from toolkit.spaces import labels as lb
from toolkit.spaces.axis import Field
from toolkit.spaces.condition import Condition

if TYPE_CHECKING:
    from toolkit.spaces.space import Space

_WIDTH = 60
_LONGEST = 28


def text(space: "Space") -> str:
    """Return a line per parameter of a space, and one per condition."""
    rows = [*_rows(space), *((c.title, "", _share(c)) for c in space.conditions)]
    wide = max((len(name) for name, _, _ in rows), default=0)
    middle = max((len(size) for _, size, _ in rows), default=0)
    lines = [f"  {name:<{wide}}  {size:>{middle}}  {what}".rstrip() for name, size, what in rows]
    return "\n".join([f"<Space: {_runs(space)}>", *lines])


def html(space: "Space") -> str:
    """Return the same as HTML that folds, without scripts."""
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td class='tk-dim'>{escape(size)}</td>"
        f"<td>{_folded(space, name, what)}</td></tr>"
        for name, size, what in _rows(space)
    )
    rules = "".join(
        f"<div class='tk-dim'>{escape(c.title)}: {escape(_share(c))}</div>"
        for c in space.conditions
    )
    return view("Space", _runs(space), f"<table>{cells}</table>", rules)


def _runs(space: "Space") -> str:
    runs = len(space)
    dims = ", ".join(f"{name}: {size:,}" for name, size in space.sizes.items())
    return f"{runs:,} run{'' if runs == 1 else 's'}" + (f" ({dims})" if dims else "")


def _rows(space: "Space") -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for dim in space.dims:
        if dim.kind == "rows" and not dim.hidden:
            rows.append(
                (dim.name, f"{dim.size:,}", "rows of " + ", ".join(c.name for c in dim.columns))
            )
            rows += [(f"  {c.name}", "", _values(c.labels, c.attrs)) for c in dim.columns]
        elif dim.kind == "replicates" and not dim.hidden:
            rows.append(
                (
                    dim.name,
                    f"{dim.size:,}",
                    "replicates" + (", common streams" if dim.common else ""),
                )
            )
        else:
            size = "=" if dim.hidden else f"{dim.size:,}"
            rows += [(c.name, size, _values(c.labels, c.attrs)) for c in dim.columns]
    rows += [(field.name, "", _field(field)) for field in space.fields]
    return rows


def _values(labels: lb.Array, attrs: object = None) -> str:
    units = attrs.get("units") if isinstance(attrs, dict) else None
    ending = f"  [{units}]" if units else ""
    return f"{_short(labels, _WIDTH)}{ending}"


def _short(labels: lb.Array, width: int) -> str:
    shown = [_word(label) for label in lb.scalars(labels[:20])]
    if len(labels) <= 20 and len(" ".join(shown)) <= width:
        return " ".join(shown)
    last = _word(lb.scalars(labels[-1:])[0])
    shown = shown[: min(8, len(labels) - 1)]
    while len(shown) > 1 and len(" ".join([*shown, "…", last])) > width:
        shown.pop()
    return " ".join([*shown, "…", last])


def _word(label: object) -> str:
    word = f"{label:.6g}" if isinstance(label, float) else " ".join(str(label).split())
    return word if len(word) <= _LONGEST else word[: _LONGEST - 1] + "…"


def _field(field: Field) -> str:
    along = ", ".join(field.dims) or "every run"
    inner = ", ".join(f"{dim}: {field.data.sizes[dim]:,}" for dim in field.inner)
    return f"over {along}" + (f", each value ({inner})" if inner else "")


def _share(condition: Condition) -> str:
    return f"{int(condition.mask.sum()):,} of {condition.mask.size:,} points"


def _folded(space: "Space", name: str, what: str) -> str:
    labels = next((c.labels for d in space.dims for c in d.columns if c.name == name.strip()), None)
    if labels is None or len(labels) <= 8:
        return escape(what)
    many = " ".join(_word(label) for label in lb.scalars(labels[:200]))
    rest = f" … {len(labels) - 200:,} more" if len(labels) > 200 else ""
    return folded(what, escape(many + rest))
