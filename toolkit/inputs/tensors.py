"""Torch tensors among frozen inputs; the only file of this room that imports torch, when used.

A tensor is stored as the bytes of its numpy view: a pickled tensor has no buffer of its own, so it
could not be mapped. Torch has no read-only tensors, and writing to one on a read-only map kills the
process; so tensors lie on private copy-on-write maps, and their version counters are watched.
"""

import copy
import sys
import threading
from typing import Any

import numpy as np

_loading = threading.local()


def is_tensor(value: object) -> bool:
    """Whether a value is a dense tensor or parameter, whose bytes can be mapped."""
    torch = sys.modules.get("torch")
    if torch is None or type(value) not in (torch.Tensor, torch.nn.Parameter):
        return False
    return value.layout == torch.strided and not value.is_quantized and not value.is_meta  # type: ignore[attr-defined]


def as_bytes(tensor: Any) -> np.ndarray[Any, Any]:
    """Return the values of a tensor in C order, uint8, shape ``(n_bytes,)``."""
    import torch

    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    array: np.ndarray[Any, Any] = plain.reshape(-1).view(torch.uint8).numpy()
    return array


def describe(tensor: Any) -> tuple[str, tuple[int, ...], bool, bool]:
    """Return what rebuilds a tensor beside its bytes."""
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    is_parameter = type(tensor) is torch.nn.Parameter
    return dtype, tuple(tensor.shape), bool(tensor.requires_grad), is_parameter


def rebuild(
    data: Any, dtype: str, shape: tuple[int, ...], requires_grad: bool, is_parameter: bool
) -> Any:
    """Return the tensor over a buffer; of bytes, over a copy of them."""
    import torch

    kind = getattr(torch, dtype)
    if not len(memoryview(data)):
        tensor = torch.empty(shape, dtype=kind)
    else:
        if isinstance(data, bytes):
            data = bytearray(data)
        tensor = torch.frombuffer(data, dtype=kind).reshape(shape)
    if is_parameter:
        tensor = torch.nn.Parameter(tensor, requires_grad=requires_grad)
    elif requires_grad:
        tensor.requires_grad_()
    _made().append(tensor)
    return tensor


class Watch:
    """Notices that tensors were written to since.

    Writes in place count, through views too; those through ``tensor.numpy()`` are not seen.
    """

    def __init__(self, tensors: list[Any]) -> None:
        self._seen = [(tensor, tensor._version) for tensor in tensors]

    def __bool__(self) -> bool:
        return bool(self._seen)

    @property
    def has_changed(self) -> bool:
        """Whether any tensor has another version than at first."""
        return any(tensor._version != version for tensor, version in self._seen)


def begin_watch() -> None:
    """Note from now on which tensors are made in this thread."""
    _loading.tensors = []


def end_watch() -> Watch:
    """Return a watch over the tensors made since."""
    made, _loading.tensors = _made(), []
    return Watch(made)


def on_device(value: Any, device: Any) -> Any:
    """Return a copy on a device: tensors, modules, numeric arrays, and containers of these.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    import torch

    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value).to(device)
    if isinstance(value, torch.Tensor):
        return value.detach().clone().to(device)
    if isinstance(value, np.ndarray):
        return torch.tensor(value.tolist() if value.dtype == object else np.array(value)).to(device)
    if isinstance(value, dict):
        return {key: on_device(each, device) for key, each in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(on_device(each, device) for each in value)
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    raise TypeError(
        f"a {type(value).__name__} cannot be moved to a device: freeze tensors, modules, arrays, "
        "or dicts, lists and tuples of them"
    )


def _made() -> list[Any]:
    found: list[Any] = getattr(_loading, "tensors", [])
    return found
