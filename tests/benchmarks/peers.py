"""The other libraries, each used as its documentation says and told to use as many processes."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from cases import WORKERS, Case, Floats, Grid
from contenders import Contender

_BATCHES = 32


class Joblib(Contender):
    """``joblib.Parallel`` with its automatic batches; one ``.npz`` at the end."""

    def start(self) -> None:
        from joblib import Parallel

        self._parallel = Parallel(n_jobs=WORKERS)
        self._parallel.__enter__()

    def stop(self) -> None:
        self._parallel.__exit__(None, None, None)

    def prepare(self, case: Case, grid: Grid) -> None:
        self._points = grid.points()

    def run(self, case: Case, grid: Grid, folder: Path) -> Any:
        from joblib import delayed

        found = self._parallel(delayed(case.function)(x, y) for x, y in self._points)
        values = np.array(found)
        np.savez(folder / "value.npz", x=grid.x, y=grid.y, value=values)
        return values

    def open(self, folder: Path) -> Any:
        with np.load(folder / "value.npz") as file:
            return dict(file)

    def select(self, opened: Any, x: float, y: float) -> float:
        row = int(np.flatnonzero(opened["x"] == x)[0]) * len(opened["y"])
        value = opened["value"][row + int(np.flatnonzero(opened["y"] == y)[0])]
        return float(np.asarray(value).flat[0])


class Pipefunc(Contender):
    """``pipefunc`` with a run folder, executor and chunks as large as Pool's."""

    storage = "file_array"

    def start(self) -> None:
        import pipefunc.map  # noqa: F401 - not timed

        self._executor = ProcessPoolExecutor(WORKERS)
        list(self._executor.map(abs, range(WORKERS)))

    def stop(self) -> None:
        self._executor.shutdown()

    def run(self, case: Case, grid: Grid, folder: Path) -> Any:
        from pipefunc import PipeFunc, Pipeline

        function = PipeFunc(case.function, output_name="value", mapspec="x[i], y[j] -> value[i, j]")
        return Pipeline([function]).map(
            {"x": grid.x, "y": grid.y},
            run_folder=folder / "run",
            storage=self.storage,
            executor=self._executor,
            chunksizes=max(1, len(grid) // (32 * WORKERS)),
            show_progress=False,
        )

    def values(self, outcome: Any, grid: Grid) -> Floats:
        found = np.asarray(outcome["value"].output)
        return np.array([np.asarray(value, dtype=np.float64) for value in found.ravel()])

    def open(self, folder: Path) -> Any:
        from pipefunc.map import load_xarray_dataset

        return load_xarray_dataset("value", run_folder=folder / "run")

    def reduce(self, opened: Any) -> float:
        return float(np.mean([np.mean(value) for value in np.asarray(opened["value"]).ravel()]))

    def select(self, opened: Any, x: float, y: float) -> float:
        return float(np.asarray(opened["value"].sel(x=x, y=y).item()).flat[0])


class PipefuncDict(Pipefunc):
    """The same in memory, written once at the end: a crash loses all."""

    storage = "dict"


class Xyzpy(Contender):
    """``xyzpy.Harvester``: runs in processes and merges them into one netCDF file."""

    def start(self) -> None:
        import xyzpy  # noqa: F401 - not timed

    def run(self, case: Case, grid: Grid, folder: Path) -> Any:
        harvester = self._harvester(case, folder)
        harvester.harvest_combos(
            {"x": grid.x, "y": grid.y}, parallel=True, num_workers=WORKERS, verbosity=0
        )
        return harvester.last_ds

    def values(self, outcome: Any, grid: Grid) -> Floats:
        values = np.asarray(outcome["value"].transpose("x", "y", ...), dtype=np.float64)
        return values.reshape(len(grid), *values.shape[2:])

    def open(self, folder: Path) -> Any:
        import xyzpy

        return xyzpy.load_ds(str(folder / "value.nc"), engine="netcdf4")

    def _harvester(self, case: Case, folder: Path) -> Any:
        import xyzpy

        is_wide = case.name.startswith("wide")
        dims = {"value": ["step"]} if is_wide else None
        runner = xyzpy.Runner(case.function, ["value"], var_dims=dims)
        return xyzpy.Harvester(runner, data_name=str(folder / "value.nc"), engine="netcdf4")


class XyzpyCrop(Xyzpy):
    """``xyzpy.Crop``: batches sown as files, grown by processes, reaped into the same file."""

    def run(self, case: Case, grid: Grid, folder: Path) -> Any:
        harvester = self._harvester(case, folder)
        crop = harvester.Crop(name="value", parent_dir=str(folder), num_batches=_BATCHES)
        crop.sow_combos({"x": grid.x, "y": grid.y}, verbosity=0)
        crop.grow(num_workers=WORKERS, verbosity=0)
        crop.reap(verbosity=0)
        return harvester.last_ds
