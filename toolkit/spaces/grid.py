"""Spaces written by hand: products of axes, and parameters that vary together."""

from collections.abc import Mapping
from typing import Any

from toolkit.errors import SpaceError
from toolkit.spaces import build
from toolkit.spaces.labels import require_names
from toolkit.spaces.rows import rows_dim
from toolkit.spaces.space import Space


def grid(axes: Mapping[str, Any] | None = None, /, **keywords: Any) -> Space:
    """Return the product of axes, with dims in the order written.

    Parameters
    ----------
    axes
        One mapping of names to axes, for names such as ``"layer.0.R2"``.
    **keywords
        An axis each: a list, range, 1-D array or DataArray (its attributes are kept), a mapping
        ``{label: object}`` of which runs get the objects, or :func:`replicates`. A scalar, a text
        or a single object is a constant, recorded without a dim.

    Raises
    ------
    SpaceError
        An axis is empty, not finite, has more than one dimension or a label twice, or a name is
        reserved.

    Examples
    --------
    >>> space = grid(beta=[0.1, 0.2, 0.3], model={"fast": max, "exact": min}, gamma=0.5)
    >>> len(space), space.sizes
    (6, {'beta': 3, 'model': 2})
    """
    return Space(
        dims=tuple(build.axis(name, given) for name, given in build.merged(axes, keywords).items())
    )


def replicates(n: int, common: bool = False) -> build.Replicates:
    """Return an axis of repetitions, numbered from 0.

    Parameters
    ----------
    n
        How many.
    common
        Whether every point of the space gets the same random streams, which makes differences
        between points less noisy.

    Examples
    --------
    >>> len(grid(beta=[0.1, 0.2], trial=replicates(10)))
    20
    """
    return build.Replicates(n=build.count("replicates(n)", n), common=bool(common))


def zipped(dim: str, columns: Mapping[str, Any] | None = None, /, **keywords: Any) -> Space:
    """Return parameters that vary together along one dim.

    Parameters
    ----------
    dim
        The name of the dim. A column of this name labels it; else rows are numbered from 0.
    columns
        One mapping of names to values.
    **keywords
        The values of a parameter each, all of one length. A scalar is a constant. Equal rows stay
        separate runs.

    Raises
    ------
    SpaceError
        Lengths differ, or what :func:`grid` raises.

    Examples
    --------
    >>> space = zipped("site", site=["north", "south"], rate=[0.1, 0.4], size=[120, 80])
    >>> len(space), space.sizes
    (2, {'site': 2})
    """
    if not isinstance(dim, str):
        raise SpaceError(
            f"zipped takes the name of the dim first, found {dim!r}.\n"
            "Write tk.zipped('site', rate=[...])."
        )
    require_names([dim])
    given = build.merged(columns, keywords)
    constants = {name: value for name, value in given.items() if build.is_scalar(name, value)}
    varying = {name: value for name, value in given.items() if name not in constants}
    if not varying:
        raise SpaceError(
            f"zipped({dim!r}) needs at least one parameter with several values.\nWrite name=[...]."
        )
    require_names(given)
    made = [build.column(name, value) for name, value in varying.items()]
    rows = rows_dim(dim, made)
    fixed = [build.constant(name, value) for name, value in constants.items()]
    return Space(dims=(rows, *fixed))
