"""What each output of a stage is, before any block is made: declared, stored, or seen once."""

import warnings
from dataclasses import replace

import numpy as np

from toolkit.errors import StageError
from toolkit.graphs.along import Along
from toolkit.graphs.block import Block, evaluate, labels_text
from toolkit.graphs.content import Content, LazyStage
from toolkit.graphs.layer_spec import ContentSource, make_layer
from toolkit.run_status import Status
from toolkit.spaces.space import Space
from toolkit.stages.output import Declared
from toolkit.stages.schema import Schema, Variable
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.run_labels import labels_of_run


def with_types(content: Content) -> Content:
    """Return the content with the schema of every stage.

    Where neither the declaration nor the store says it, a run is run here, with what it needs,
    and a warning names it.

    Raises
    ------
    StageError
        If that run fails.
    """
    stages = {
        name: replace(stage, schema=_known(stage, content))
        for name, stage in content.stages.items()
    }
    content = replace(content, stages=stages)
    memory: dict[object, Block] = {}
    for name in stages:
        stage = content.stages[name]
        if stage.schema is None:
            stage = replace(stage, schema=_seen(stage, content, memory))
            content = replace(content, stages={**content.stages, name: stage})
    return content


def declared_schema(declared: Declared | None) -> Schema | None:
    """Return the schema that a declaration gives, None where it leaves something open.

    Outputs that are objects or ragged are never shown lazily: their types may stay open.
    """
    if declared is None:
        return None
    sizes = {
        dim: size
        for coord in declared.coords.values()
        for dim, size in zip(coord.dims, coord.values.shape, strict=True)
    }
    variables = []
    for output in declared.outputs:
        shape, dims = output.shape, output.dims
        if output.kind in ("object", "ragged"):
            dims, shape = dims if output.kind == "ragged" else (), ()
        elif shape is None and dims is not None and set(dims) <= set(sizes):
            shape = tuple(sizes[dim] for dim in dims)
        if output.kind is None or dims is None or shape is None:
            return None
        variables.append(
            Variable(
                name=output.name,
                kind=output.kind,
                dtype=output.dtype or "",
                dims=tuple(dims),
                shape=shape,
                attrs=output.attrs,
            )
        )
    return Schema(variables=tuple(variables), coords=declared.coords, attrs=declared.attrs)


def _known(stage: LazyStage, content: Content) -> Schema | None:
    found = declared_schema(stage.call.declared)
    if found is not None:
        return found
    stored = content.shelf.runs(stage.name)
    return None if stored is None else stored.widest_schema


def _seen(stage: LazyStage, content: Content, memory: dict[object, Block]) -> Schema:
    """Return the schema of a run that is run here."""
    points = stage.space.points()
    if not len(points):
        return Schema()
    problem = ""
    source = ContentSource("first run", content=content)
    for number in dict.fromkeys([0, len(points) - 1]):
        at = dict(
            zip((dim.name for dim in stage.space.dims), points.positions([number]), strict=True)
        )
        cuts = {}
        for axis in stage.axes:
            position = np.maximum(at[axis.dim.name], 0)
            if axis.order is not None:
                position = np.flatnonzero(axis.order == position)
            cuts[axis.dim.name] = Along(
                name=axis.dim.name, size=1, length=content.lengths[axis.dim.name], chosen=position
            )
        layer = make_layer(source, stage.name, cuts)
        block = evaluate(layer, (0,) * len(cuts), memory)
        if not problem:
            warnings.warn(
                f"Nothing says what stage {stage.name!r} returns: it is run once, at "
                f"{_point(stage.part({name: cut.indices() for name, cut in cuts.items()}))}. "
                "Declare outputs= to avoid that.",
                UserWarning,
                stacklevel=6,
            )
        if (block.status == Status.DONE).any():
            return block.schema
        problem = next(iter(block.messages.values()), "it lacks what it needs")
    raise StageError(
        f"Nothing says what stage {stage.name!r} returns, and the run that was to show it failed: "
        f"{problem.rstrip()}\nDeclare outputs= with types, such as "
        f"tk.stage(outputs={{{stage.name!r}: float}})."
    )


def _point(space: Space) -> str:
    catalogue, ids = Catalogue.empty().register(space)
    return labels_text(labels_of_run(catalogue, int(np.asarray(ids)[0]))) or "its one point"
