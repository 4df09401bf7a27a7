"""A parameter space: dims of labels, fields over them, and conditions."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError
from toolkit.spaces import build, condition, convert, display, extension, selection
from toolkit.spaces.axis import Column, Dim, Field
from toolkit.spaces.condition import Condition
from toolkit.spaces.labels import require_names
from toolkit.spaces.points import Points

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, eq=False, repr=False)
class Space:
    """What to vary: a set of runs, each a point of labelled parameters.

    Made by ``tk.grid``, ``tk.zipped``, ``tk.sample`` and ``tk.space``. Immutable: every verb
    returns another space.

    Parameters
    ----------
    dims
        Dims in the order written, constants included as hidden dims of size 1.
    fields
        Parameters over several dims, or with inner dims.
    conditions
        What ``where`` and ``when`` found.
    """

    dims: tuple[Dim, ...]
    fields: tuple[Field, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that stand twice, and more points than can be numbered."""
        if math.prod(self.shape) >= 2**62:
            raise SpaceError(
                f"the space has {math.prod(self.shape):.3g} points, more than can be numbered.\n"
                "Leave labels out, or draw points by tk.sample."
            )
        names = [*self.names, *(dim.name for dim in self.dims if dim.label_column is None)]
        require_names(names)
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise SpaceError(
                f"{', '.join(map(repr, twice))} names two parameters or dims of one space.\n"
                "Rename one of them."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """All parameters, constants included, in the order of their dims."""
        columns = (column.name for dim in self.dims for column in dim.columns)
        return (*columns, *(field.name for field in self.fields))

    @property
    def required(self) -> frozenset[str]:
        """The parameters that something must use: all but those that only label a dim."""
        parts: list[Column | Field] = [column for dim in self.dims for column in dim.columns]
        return frozenset(part.name for part in [*parts, *self.fields] if part.required)

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the dims that are seen: constants have none."""
        return {dim.name: dim.size for dim in self.dims if not dim.hidden}

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all dims, constants included (1)."""
        return tuple(dim.size for dim in self.dims)

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.points()) if self.conditions else math.prod(self.shape)

    def points(self) -> Points:
        """Return the runs as cells of the product of all dims."""
        return self._points

    def dim(self, name: str) -> Dim:
        """Return the dim of this name."""
        for dim in self.dims:
            if dim.name == name:
                return dim
        raise build.unknown("the dim", name, [dim.name for dim in self.dims])

    def dims_of(self, name: str) -> tuple[str, ...]:
        """Return names of the dims that a parameter lies along; a constant lies along its own."""
        for dim in self.dims:
            if any(column.name == name for column in dim.columns):
                return (dim.name,)
        for field in self.fields:
            if field.name == name:
                return field.dims
        raise build.unknown("the parameter", name, self.names)

    def values(
        self, runs: npt.ArrayLike | slice, names: Iterable[str] | None = None
    ) -> dict[str, list[Any]]:
        """Return what some runs receive.

        Parameters
        ----------
        runs
            Numbers of runs, shape ``(n,)``, or a slice.
        names
            Which parameters; None for all.

        Returns
        -------
        dict
            A list of ``n`` values per parameter, ``INACTIVE`` where it does not matter.

        Examples
        --------
        >>> from toolkit.spaces.grid import grid
        >>> grid(beta=[0.1, 0.2], model="sir").values([0, 1])
        {'beta': [0.1, 0.2], 'model': ['sir', 'sir']}
        """
        positions = self.points().positions(runs)
        count = len(np.arange(len(self))[runs]) if isinstance(runs, slice) else np.size(runs)
        at = {dim.name: place for dim, place in zip(self.dims, positions, strict=True)}
        columns = {column.name: (dim, column) for dim in self.dims for column in dim.columns}
        fields = {field.name: field for field in self.fields}
        out: dict[str, list[Any]] = {}
        for name in self.names if names is None else names:
            if name in columns:
                dim, column = columns[name]
                out[name] = column.values(at[dim.name])
            elif name in fields:
                field = fields[name]
                found = field.values(tuple(at[dim] for dim in field.dims))
                out[name] = found if field.dims else found * count
            else:
                raise build.unknown("the parameter", name, self.names)
        return out

    def __mul__(self, other: object) -> "Space":
        """Return the product with another space, with which it shares no name."""
        if not isinstance(other, Space):
            return NotImplemented
        mine = {*self.names, *(dim.name for dim in self.dims)}
        shared = [
            name
            for name in dict.fromkeys((*other.names, *(d.name for d in other.dims)))
            if name in mine
        ]
        if shared:
            raise SpaceError(
                f"both spaces of the product have {', '.join(map(repr, shared))}.\n"
                "Rename it in one of them, or use extend to add values to an axis."
            )
        return Space(
            self.dims + other.dims, self.fields + other.fields, self.conditions + other.conditions
        )

    def where(self, function: Callable[..., Any]) -> "Space":
        """Return the space of the points at which a function is true; others are never run.

        Parameters
        ----------
        function
            Takes parameters by name and is called once, with arrays that broadcast against each
            other: the values as they were written, and labels for ``{label: object}``. Write ``&``
            and ``|`` for and and or.

        Raises
        ------
        SpaceError
            An argument is unknown, the function fails on arrays, or no point is left.

        Examples
        --------
        >>> from toolkit.spaces.grid import grid
        >>> len(grid(beta=[1, 2, 3], gamma=[1, 2, 3]).where(lambda beta, gamma: beta > gamma))
        3
        """
        found = condition.evaluate(function, None, self.dims, self.fields)
        return _filled(replace(self, conditions=(*self.conditions, found)), "where")

    def when(
        self, conditions: Mapping[str, Callable[..., Any]] | None = None, /, **keywords: Any
    ) -> "Space":
        """Return the space in which parameters matter only where functions of others are true.

        Elsewhere one run stands for all values of such a parameter, which then has the default of
        the stage's argument, or None. A parameter whose condition depends on one that does not
        matter does not matter either. With ``where``, such a run exists if any point that it
        stands for is kept.

        Parameters
        ----------
        conditions
            One mapping of parameters to functions.
        **keywords
            A function per parameter, called as that of :meth:`where`. The parameter has a dim of
            its own or is a constant.

        Examples
        --------
        >>> from toolkit.spaces.grid import grid
        >>> space = grid(kernel=["rbf", "linear"], width=[0.1, 1, 10])
        >>> len(space.when(width=lambda kernel: kernel == "rbf"))
        4
        """
        given = build.merged(conditions, keywords)
        made = list(self.conditions)
        for name, function in given.items():
            condition.require_own_dim(name, self.dims, self.fields)
            found = condition.evaluate(function, name, self.dims, self.fields)
            if name in found.arguments:
                raise SpaceError(
                    f"when({name}=...) asks {name!r} itself.\nUse where to leave values out."
                )
            made.append(found)
        return _filled(replace(self, conditions=tuple(made)), "when")

    def extend(self, axes: Mapping[str, Any] | None = None, /, **keywords: Any) -> "Space":
        """Return the space with more labels along axes.

        Labels already there are ignored. A constant becomes an axis that keeps its old value
        first. Conditions apply again to the whole.

        Parameters
        ----------
        axes
            One mapping of names to what is added.
        **keywords
            New labels of an axis as in ``tk.grid``; ``tk.replicates(n)`` for more repetitions. For
            the dim of a zip, sample or table: whole rows, as a mapping of all of its columns, a
            DataFrame, or another space with that dim.

        Examples
        --------
        >>> from toolkit.spaces.grid import grid
        >>> grid(beta=[0.1, 0.2], gamma=0.5).extend(beta=[0.2, 0.3], gamma=0.6).sizes
        {'beta': 3, 'gamma': 2}
        """
        grown = extension.extended(self.dims, self.fields, build.merged(axes, keywords))
        changed = {new.name for old, new in zip(self.dims, grown, strict=True) if new is not old}
        again = tuple(
            condition.evaluate(c.function, c.parameter, grown, self.fields)
            if changed & {*c.dims}
            else c
            for c in self.conditions
        )
        return _filled(replace(self, dims=grown, conditions=again), "extend")

    def sel(
        self,
        indexers: Mapping[str, Any] | None = None,
        /,
        method: str | None = None,
        **keywords: Any,
    ) -> "Space":
        """Return the part of the space with some labels.

        Parameters
        ----------
        indexers
            One mapping of dims to labels.
        method
            ``"nearest"`` takes the nearest number or date; by default floats are looked up
            within 1e-9 (relative).
        **keywords
            Per dim one label (the dim is then hidden, an axis becomes a constant), a list of
            labels, or a slice that includes both ends.

        Examples
        --------
        >>> from toolkit.spaces.grid import grid
        >>> grid(beta=[0.1, 0.2, 0.3], gamma=[1, 2]).sel(beta=slice(0.2, None), gamma=2).sizes
        {'beta': 2}
        """
        chosen = build.merged(indexers, keywords)
        return self._take(
            {
                name: selection.by_label(self, name, wanted, method)
                for name, wanted in chosen.items()
            }
        )

    def isel(self, indexers: Mapping[str, Any] | None = None, /, **keywords: Any) -> "Space":
        """Return the part of the space at some positions: integers, lists or slices per dim.

        Examples
        --------
        >>> from toolkit.spaces.grid import grid
        >>> grid(beta=[0.1, 0.2, 0.3], gamma=[1, 2]).isel(beta=[0, -1]).sizes
        {'beta': 2, 'gamma': 2}
        """
        chosen = build.merged(indexers, keywords)
        return self._take(
            {name: selection.by_position(self, name, wanted) for name, wanted in chosen.items()}
        )

    def with_constants(self, constants: Mapping[str, object]) -> "Space":
        """Return the space with more constants, such as defaults: any object will do."""
        shared = [name for name in constants if name in self.names]
        if shared:
            raise SpaceError(f"{', '.join(map(repr, shared))} is already a parameter of the space.")
        made = tuple(
            build.constant(name, value, lenient=True, required=False)
            for name, value in constants.items()
        )
        return replace(self, dims=self.dims + made)

    def to_dataset(self) -> "xr.Dataset":
        """Return the labels as an xarray Dataset.

        Labels of dims are index coordinates, other parameters of rows coordinates along them,
        constants scalar coordinates; parameters over several dims are data variables. Points left
        out by conditions are not marked.
        """
        return convert.to_dataset(self)

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a table of the runs, one line per run and one column per parameter (its labels).

        Parameters whose values have inner dims are left out; what does not matter is missing.
        """
        return convert.to_dataframe(self)

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same labels and runs in the same order."""
        if not isinstance(other, Space):
            return NotImplemented
        if self.dims != other.dims or self.fields != other.fields or len(self) != len(other):
            return False
        if not self.conditions and not other.conditions:
            return True
        a, b = self.points(), other.points()
        every = slice(None)
        return all(
            np.array_equal(p, q)
            for p, q in zip(a.positions(every), b.positions(every), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return a line per parameter."""
        return display.text(self)

    def _repr_html_(self) -> str:
        """Return the same for notebooks, with the labels folded away."""
        return display.html(self)

    @cached_property
    def _points(self) -> Points:
        return condition.points(self.dims, self.conditions)

    def _take(self, chosen: Mapping[str, tuple[npt.NDArray[np.int64], bool]]) -> "Space":
        dims, fields, conditions = list(self.dims), list(self.fields), list(self.conditions)
        for name, (positions, hidden) in chosen.items():
            number = next(number for number, dim in enumerate(dims) if dim.name == name)
            dims[number] = dims[number].take(positions, hidden=True if hidden else None)
            fields = [
                field.take(name, positions) if name in field.dims else field for field in fields
            ]
            conditions = [c.take(name, positions) for c in conditions]
        return _filled(Space(tuple(dims), tuple(fields), tuple(conditions)), "the selection")


def _filled(space: Space, what: str) -> Space:
    if len(space) == 0:
        held = ", ".join(dict.fromkeys(c.title for c in space.conditions)) or "no condition"
        raise SpaceError(
            f"{what} leaves no run of {math.prod(space.shape):,} points ({held}).\n"
            "Check the comparison and its units."
        )
    return space
