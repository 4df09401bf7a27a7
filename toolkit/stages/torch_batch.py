"""One-run torch functions run for a whole batch under ``torch.func.vmap``; the device they use."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import StageError
from toolkit.stages.call import StageCall

if TYPE_CHECKING:
    import torch

DEVICE = "TOOLKIT_DEVICE"


class VmapRefused(StageError):  # noqa: N818  (what happened; users meet it as a StageError)
    """``torch.func.vmap`` cannot run the function, whatever the runs are."""


def device() -> "torch.device":
    """Return the torch device of this worker: CUDA where torch sees it, else the CPU.

    The environment variable ``TOOLKIT_DEVICE``, such as ``cpu`` or ``cuda:1``, overrides it.

    Raises
    ------
    StageError
        If torch is not installed, or the variable names no device.
    """
    library = _torch()
    name = os.environ.get(DEVICE) or ("cuda" if library.cuda.is_available() else "cpu")
    try:
        found: torch.device = library.device(name)
    except RuntimeError as error:
        raise StageError(f"{DEVICE}={name!r} is no device of torch: {error}") from None
    return found


class TorchBatch:
    """Calls the one-run function of a stage for many runs at once, or for one alone.

    Numbers and bools arrive as tensors on ``device()``: float64, int64 or bool, without a dim.
    Text and objects arrive as they are, and so do whole numbers and bools that the stage takes
    as plain values (``StageCall.plain``): runs in which these differ go to different calls.
    """

    def __init__(
        self, call: StageCall, shared: dict[int, tuple[object, object]] | None = None
    ) -> None:
        self.call = call
        self.torch = _torch()
        self.device = device()
        self.function = call.positional_function()
        self._shared = {} if shared is None else shared

    def prepare(self, arguments: Sequence[Any]) -> list[Any]:
        """Return arguments of shape ``(n_runs, …)`` as tensors, or as lists of plain values."""
        return [
            self._share(given)
            if argument.kind == "constant"
            else self._column(argument.name, given)
            for argument, given in zip(self.call.arguments, arguments, strict=True)
        ]

    def groups(self, arguments: Sequence[Any], n: int) -> list[np.ndarray[Any, Any]]:
        """Return positions of the runs by their plain values, each group ascending."""
        plain = [each for each in arguments if isinstance(each, _Plain)]
        found: dict[Any, list[int]] = {}
        for index in range(n):
            found.setdefault(tuple(each.keys[index] for each in plain), []).append(index)
        return [np.array(indices) for indices in found.values()]

    def together(self, arguments: Sequence[Any], runs: np.ndarray[Any, Any]) -> Any:
        """Return the results of runs of one group, arrays of shape ``(len(runs), …)``.

        Raises
        ------
        VmapRefused
            If the function cannot run under vmap.
        """
        torch = self.torch
        index = torch.as_tensor(runs, device=self.device)
        mapped = [at for at, each in enumerate(arguments) if self._varies(at, each)]
        given = [self._of_run(at, each, int(runs[0])) for at, each in enumerate(arguments)]

        def one(*tensors: Any) -> Any:
            for at, tensor in zip(mapped, tensors, strict=True):
                given[at] = tensor
            return self._tensors(self.function(*given))

        if not mapped:
            result = _over(one(), lambda x: x.expand(len(runs), *x.shape))
        else:
            try:
                result = torch.func.vmap(one)(*(arguments[at][index] for at in mapped))
            except RuntimeError as error:
                if "vmap" in str(error):
                    raise _refusal(self.call.name, error) from error
                raise
        return _over(result, _to_numpy)

    def alone(self, arguments: Sequence[Any], run: int) -> Any:
        """Return the result of one run, made without vmap, as numpy arrays."""
        return _over(self._tensors(self.plainly(arguments, run)), _to_numpy)

    def plainly(self, arguments: Sequence[Any], run: int) -> Any:
        """Return what the function returns for one run, called without vmap."""
        return self.function(*(self._of_run(at, each, run) for at, each in enumerate(arguments)))

    def release(self) -> None:
        """Give memory that is not in use back to the device."""
        if self.device.type == "cuda":
            self.torch.cuda.empty_cache()

    def _varies(self, at: int, given: Any) -> bool:
        is_tensor = isinstance(given, self.torch.Tensor)
        return is_tensor and self.call.arguments[at].kind != "constant"

    def _of_run(self, at: int, given: Any, run: int) -> Any:
        if isinstance(given, _Plain):
            return given.values[run]
        return given[run] if self._varies(at, given) else given

    def _column(self, name: str, given: Any) -> Any:
        array = np.asarray(given)
        if array.dtype.kind in "iub" and name in self.call.plain and array.ndim == 1:
            return _Plain(array.tolist())
        if array.dtype.kind not in "iubf":
            return _Plain(list(array.tolist() if array.dtype.kind == "U" else array))
        dtype = {"f": np.float64, "b": np.bool_}.get(array.dtype.kind, np.int64)
        # Copied: torch warns of arrays that it may not write to, and a function might write.
        return self.torch.as_tensor(np.array(array, dtype), device=self.device)

    def _share(self, given: Any) -> Any:
        """Return a frozen input for this device; numeric arrays are moved there once."""
        if isinstance(given, self.torch.Tensor):
            return given.to(self.device)
        if not isinstance(given, np.ndarray) or given.dtype.kind not in "iubf":
            return given
        if id(given) not in self._shared:
            moved = self.torch.as_tensor(np.array(given), device=self.device)
            self._shared[id(given)] = given, moved
        return self._shared[id(given)][1]

    def _tensors(self, result: Any) -> Any:
        def tensor(value: Any) -> Any:
            if isinstance(value, self.torch.Tensor):
                return value
            if isinstance(value, bool | int | float | np.ndarray | np.generic):
                return self.torch.as_tensor(np.asarray(value), device=self.device)
            raise VmapRefused(
                f"Stage {self.call.name!r} returned {type(value).__name__}. With "
                "vectorized='torch' it returns tensors and numbers, or a dict or tuple of them."
            )

        return _over(result, tensor)


class _Plain:
    """Values that arrive as they are, with what tells them apart."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self.keys = [
            (type(value), value) if isinstance(value, bool | int | str) else id(value)
            for value in values
        ]


def _over(result: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(result, Mapping):
        return {name: change(value) for name, value in result.items()}
    if isinstance(result, tuple):
        return tuple(change(value) for value in result)
    return change(result)


def _to_numpy(tensor: Any) -> Any:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return tensor.cpu().numpy()


def _refusal(stage: str, error: RuntimeError) -> VmapRefused:
    text = str(error)
    if "random" in text:
        remedy = (
            "torch's own generators know no runs: under vmap their numbers would depend on the "
            "batch. Take run_seed and draw with tk.draws(run_seed).uniform('stream', shape)."
        )
    else:
        remedy = (
            "Under vmap a tensor has no value that Python may look at: use torch.where for if, a "
            "fixed number of steps for while, no .item(). An argument that is a plain int, such "
            "as a number of steps, is annotated so: n_steps: int."
        )
    return VmapRefused(f"Stage {stage!r} cannot run under torch.func.vmap. {remedy}\n{text}")


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise StageError(
            "torch is not installed. Install it: pip install 'parallel-analysis-toolkit[torch]'."
        ) from None
    return torch
