"""``tk.freeze``: an object that every run reads and none may change."""

import os
import weakref
from html import escape
from typing import Any

from toolkit.inputs import folder, held
from toolkit.markup import rows, view
from toolkit.resources import describe_memory


class Frozen:
    """A handle on a frozen object; made by ``tk.freeze``.

    It pickles to a few hundred bytes, whatever it stands for. The file with the content goes when
    the last handle on it, in any process of this machine, is gone.

    Attributes
    ----------
    token
        Hash of the file with the content.
    identity
        Hash of the content by which changed inputs are known; equal in every process.
    nbytes
        Size of the file in bytes.
    name
        What messages call it, or "".
    summary
        What it is: its type, shape and dtype.
    """

    def __init__(
        self, *, token: str, identity: str, nbytes: int, name: str = "", summary: str = ""
    ) -> None:
        self.token, self.identity, self.nbytes = token, identity, nbytes
        self.name, self.summary = name, summary
        held.hold(token)
        weakref.finalize(self, held.let_go, token, os.getpid())

    def get(self, device: object = None) -> Any:
        """Return the object, mapped into memory once for each process.

        Parameters
        ----------
        device
            A torch device: returns a copy there, kept for this process. Tensors, modules, numeric
            arrays, and dicts, lists and tuples of these can be copied.

        Returns
        -------
        object
            Its arrays are read-only. Other objects are shared by all that ask: do not change them.

        Raises
        ------
        FrozenError
            If it cannot be had here.
        """
        if device is None:
            return held.load(self.token, self.nbytes, self._called()).value
        return held.load_on_device(self.token, self.nbytes, self._called(), device)

    def named(self, name: str) -> "Frozen":
        """Return another handle on the same content, under a name."""
        return _restore(self.token, self.identity, self.nbytes, name, self.summary)

    def __dask_tokenize__(self) -> str:
        return self.token

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frozen) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)

    def __reduce__(self) -> Any:
        return _restore, (self.token, self.identity, self.nbytes, self.name, self.summary)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<frozen{name}: {self.summary}, {describe_memory(self.nbytes)}>"

    def _repr_html_(self) -> str:
        lines = [
            ("holds", escape(self.summary)),
            ("size", describe_memory(self.nbytes)),
            ("token", escape(self.token)),
        ]
        return view("Frozen", self.name or self.summary, rows(lines))

    def _called(self) -> str:
        return repr(self.name) if self.name else f"<{self.summary}>"


def freeze(obj: object, name: str | None = None) -> Frozen:
    """Freeze an object: write its content once to a file that all processes of a machine map.

    Arrays, tensors, tables, sparse matrices and graphs, in any container, and whatever else can
    be pickled. Arrays come back read-only. The file is in ``toolkit-frozen-<uid>`` in the folder
    that ``TOOLKIT_FROZEN_DIR`` names, else in the temporary folder of the machine.

    Parameters
    ----------
    obj
        The object. Changing it afterwards does not change what was frozen.
    name
        What messages call it.

    Raises
    ------
    FrozenError
        If it cannot be pickled, or the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> table = freeze(np.arange(60_000.0).reshape(200, 300), name="table")
    >>> table
    <frozen 'table': ndarray (200, 300) float64, 480 kB>
    >>> table.get()[1, 2]
    np.float64(302.0)
    >>> table.get()[1, 2] = 0
    Traceback (most recent call last):
        ...
    ValueError: assignment destination is read-only
    """
    from toolkit.inputs.content import lay_out, token_of, write
    from toolkit.inputs.pickler import pickled

    if isinstance(obj, Frozen):
        return obj if name is None or name == obj.name else obj.named(name)
    parts = pickled(obj, repr(name) if name else f"A {type(obj).__name__}")
    layout = lay_out(parts.head, parts.buffers, parts.is_writable)
    token = token_of(layout, parts.digests)
    frozen = Frozen(
        token=token,
        identity=parts.identity or token,
        nbytes=layout.nbytes,
        name=name or "",
        summary=_summary(obj),
    )
    if not held.has_claim(token):
        folder.sweep()
        with folder.alone(token):
            claim = held.claim_checked(token, layout.nbytes)
            if claim is None:
                with folder.new_file(token) as claim:
                    write(claim, layout, parts.buffers)
        held.keep(token, claim)
    return frozen


def _restore(token: str, identity: str, nbytes: int, name: str, summary: str) -> Frozen:
    return Frozen(token=token, identity=identity, nbytes=nbytes, name=name, summary=summary)


def _summary(obj: Any) -> str:
    kind = type(obj).__name__
    shape, dtype = getattr(obj, "shape", None), getattr(obj, "dtype", None)
    if isinstance(shape, tuple):
        said = f"{kind} {tuple(map(int, shape))}"
        return said if dtype is None else f"{said} {dtype}"[:80]
    try:
        return f"{kind} of {len(obj):,}"
    except Exception:  # noqa: BLE001 - not everything has a length, or wants to say it
        return kind
