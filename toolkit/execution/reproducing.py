"""One point again, here, with the same streams: for a debugger, or for a doubt."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.execution.preparing import Prepared
from toolkit.execution.worker import labels_of_run
from toolkit.spaces.seeds import Streams
from toolkit.stages.current import Cursor, RunContext
from toolkit.stages.torch_batch import TorchBatch
from toolkit.stores.catalogue import Catalogue

if TYPE_CHECKING:
    from toolkit.stores.results import Results


def reproduce(
    prepared: Prepared,
    results: "Results",
    seed: int,
    *,
    run: int | None,
    labels: Mapping[str, object],
) -> Any:
    """Call the function at one point; see :meth:`toolkit.Sweep.reproduce`.

    Raises
    ------
    SweepError
        If ``run`` and ``labels`` do not name one point.
    """
    catalogue, ids = _registered(prepared, results, run, labels)
    binding = prepared.binding
    names = [
        argument.source
        for argument in binding.call.arguments
        if argument.kind == "value" and argument.source in set(catalogue.names)
    ]
    values: Mapping[str, Any] = (
        catalogue.arrays(ids, names) if binding.call.vectorized else catalogue.values(ids, names)
    )
    streams = Streams(seed, binding.name, catalogue.dims)
    positions = catalogue.positions(ids)
    context = RunContext(stage=binding.name, labels=partial(labels_of_run, catalogue))
    run_seed = int(streams.run_seeds(positions)[0])
    with Cursor(ids.tolist(), values, [], context, 1, lambda _: run_seed) as cursor:
        # Its folders stay if it raises, as those of a failed run do.
        if binding.call.vectorized == "torch":
            batch = TorchBatch(binding.call)
            arguments = binding.call.arrays(values, 1, streams, positions)
            result = batch.plainly(batch.prepare(arguments), 0)
        elif binding.call.vectorized:
            arguments = binding.call.arrays(values, 1, streams, positions)
            result = binding.call.positional_function()(*arguments)
        else:
            rows = binding.call.rows(values, 1, streams, positions)
            result = binding.call.positional_function()(*next(iter(rows)))
        cursor.close([])
    return result


def _registered(
    prepared: Prepared, results: "Results", run: int | None, labels: Mapping[str, object]
) -> tuple[Catalogue, np.ndarray[Any, np.dtype[np.int64]]]:
    stored = results.look(prepared.stage.name)
    catalogue = Catalogue.empty() if stored is None else stored.catalogue
    catalogue, ids = catalogue.register(prepared.space, defaults=prepared.defaults)
    if run is not None:
        if labels:
            raise SweepError("Give run= or labels to reproduce(), not both.")
        if not 0 <= run < catalogue.n_runs:
            raise SweepError(
                f"run={run} is not a run of this store, which has runs 0 to {catalogue.n_runs - 1}."
            )
        return catalogue, np.array([run])
    space = prepared.space.sel(labels) if labels else prepared.space
    if len(space) != 1:
        sizes = ", ".join(f"{name}=… ({size} labels)" for name, size in space.sizes.items())
        raise SweepError(
            f"reproduce() needs one point, and this names {len(space):,} runs. Add a label for: "
            f"{sizes}; or give run=."
        )
    catalogue, ids = catalogue.register(space, defaults=prepared.defaults)
    return catalogue, np.asarray(ids)
