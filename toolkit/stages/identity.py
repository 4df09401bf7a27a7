"""What the results of a stage depend on besides its labels, as one token with named parts."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolkit.stages.code import CodeHash


@dataclass(frozen=True, kw_only=True)
class Identity:
    """By what a stage's results are known: its code, its frozen inputs, the stages before it.

    Parameters
    ----------
    token
        Equal where results are exchangeable, given equal labels.
    parts
        A short hash of each thing that counts, by the name that a user knows it by:
        ``growth_rate`` (a function), ``frozen input 'network'``, ``stage 'fit'``, ``version=``.
    """

    token: str
    parts: Mapping[str, str] = field(default_factory=dict)

    def changes(self, before: "Identity") -> tuple[str, ...]:
        """Return the names of what is not as it was before, sorted; () where that is unknown."""
        if not before.parts or before.token == self.token:
            return ()
        if ("version=" in self.parts) != ("version=" in before.parts):
            return ("version=",)
        names = {*self.parts, *before.parts}
        return tuple(sorted(n for n in names if self.parts.get(n) != before.parts.get(n)))

    def to_json(self) -> dict[str, Any]:
        """Return it for the attributes of a store."""
        return {"token": self.token, "parts": dict(self.parts)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Identity":
        """Return what ``to_json`` described; of odd documents what can be made of them."""
        parts = document.get("parts")
        named = parts.items() if isinstance(parts, Mapping) else ()
        return cls(token=str(document.get("token", "")), parts={str(k): str(v) for k, v in named})


UNKNOWN = Identity(token="")
"""Stands for code of which nothing was recorded: no other identity equals it."""


def stage_identity(
    code: CodeHash,
    frozen: Mapping[str, str] | None = None,
    upstream: Mapping[str, Identity] | None = None,
    *,
    wiring: Mapping[str, str] | None = None,
    seed: object = None,
) -> Identity:
    """Return the identity of a stage.

    Parameters
    ----------
    code
        Of its function, or its version.
    frozen
        Content token of each frozen input that it takes, by the name of the input.
    upstream
        Identity of each stage whose outputs it takes, by the name of the stage.
    wiring
        Options of the stage that change what its results mean: which argument takes which
        parameter, the names of the values it returns.
    seed
        What the streams of the sweep are made of, where the stage takes ``rng`` or ``run_seed``;
        else None.

    Examples
    --------
    >>> before = stage_identity(CodeHash(token="a", parts={"rate": "1"}), {"map": "x"})
    >>> after = stage_identity(CodeHash(token="a", parts={"rate": "1"}), {"map": "y"})
    >>> after.changes(before)
    ("frozen input 'map'",)
    """
    others = {
        **{f"frozen input {name!r}": token for name, token in (frozen or {}).items()},
        **{f"stage {name!r}": before.token for name, before in (upstream or {}).items()},
        **(wiring or {}),
        **({} if seed is None else {"seed": str(seed)}),
    }
    if not others:
        return Identity(token=code.token, parts=dict(code.parts))
    lines = [code.token, *(f"{name} {token}" for name, token in sorted(others.items()))]
    digest = hashlib.blake2b("\n".join(lines).encode("utf-8", "replace"), digest_size=12)
    return Identity(token=digest.hexdigest(), parts={**code.parts, **others})
