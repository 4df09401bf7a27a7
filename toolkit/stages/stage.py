"""``tk.stage``: a function with what it returns, needs and is called."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, overload, runtime_checkable

from toolkit.errors import StageError, SweepError
from toolkit.resources import Resources
from toolkit.stages.code import CodeHash, code_hash
from toolkit.stages.failure import type_name
from toolkit.stages.output import Declared, parse_outputs
from toolkit.stages.signature import (
    Signature,
    check_callable,
    default_name,
    describe,
    read_signature,
)

_NAME = re.compile(r"[^\W\d][\w.-]*")
ResourcesOf = Callable[..., Resources]
Retryable = type[BaseException] | str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Stage:
    """A function as a step of a sweep; it is called like the function that it holds.

    Made by ``tk.stage``, which explains the fields.

    Examples
    --------
    >>> Stage(function=max, name="peak", rename={"a": "left", "b": "right"})(2, 5)
    5
    """

    function: Callable[..., Any]
    name: str = ""
    outputs: Any = None
    over: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    vectorized: bool | Literal["torch"] = False
    resources: Resources | ResourcesOf | None = None
    retry_on: tuple[str, ...] = ()
    max_attempts: int = 3
    missing: Literal["block", "allow"] = "block"
    keep: bool = True
    version: str | None = None
    declared: Declared | None = field(init=False, default=None)
    signature: Signature = field(init=False, default=Signature(parameters=()))

    def __post_init__(self) -> None:
        check_callable(self.function)
        self._set(
            name=self.name or default_name(self.function),
            over=_names("over", self.over),
            rename=dict(self.rename or {}),
            retry_on=_exceptions(self.retry_on),
            version=None if self.version is None else str(self.version),
        )
        _check(self)
        self._set(
            declared=parse_outputs(self.outputs),
            signature=read_signature(self.function, self.name, self.rename),
            __name__=getattr(self.function, "__name__", self.name),
            __qualname__=getattr(self.function, "__qualname__", self.name),
            __module__=getattr(self.function, "__module__", None),
            __doc__=getattr(self.function, "__doc__", None),
            __wrapped__=self.function,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        said = [repr(self.name), f"{describe(self.function)}"]
        if self.declared is not None:
            said.append(f"outputs: {', '.join(self.declared.names) or 'effects'}")
        said += [
            f"{name}={getattr(self, name)!r}"
            for name, usual in _USUAL
            if getattr(self, name) != usual
        ]
        return f"<stage {', '.join(said)}>"

    @property
    def code(self) -> CodeHash:
        """The hash of the code as it is now: a helper may have been defined anew since."""
        return code_hash(self.function, version=self.version)

    @property
    def wiring(self) -> dict[str, str]:
        """Options that change what results mean, as parts of the stage's identity.

        With ``version=`` there are none: then the version says all.
        """
        if self.version is not None:
            return {}
        named = {
            "rename=": ", ".join(f"{here}={there}" for here, there in sorted(self.rename.items())),
            "over=": ", ".join(self.over),
            "missing=": "" if self.missing == "block" else self.missing,
            "outputs=": ", ".join(map(str, self.outputs))
            if isinstance(self.outputs, list | tuple)
            else "",
        }
        return {name: said for name, said in named.items() if said}

    @property
    def fixed_resources(self) -> Resources | None:
        """What every run needs, or None where that is not said or depends on parameters."""
        return self.resources if isinstance(self.resources, Resources) else None

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


_USUAL: tuple[tuple[str, object], ...] = (
    ("over", ()),
    ("rename", {}),
    ("vectorized", False),
    ("resources", None),
    ("retry_on", ()),
    ("max_attempts", 3),
    ("missing", "block"),
    ("keep", True),
    ("version", None),
)


@overload
def stage(
    function: Callable[..., Any],
    /,
    *,
    name: str | None = None,
    outputs: Any = None,
    over: str | Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    vectorized: bool | Literal["torch"] = False,
    resources: Resources | ResourcesOf | None = None,
    retry_on: Retryable | Iterable[Retryable] = (),
    max_attempts: int = 3,
    missing: Literal["block", "allow"] = "block",
    keep: bool = True,
    version: str | int | None = None,
) -> Stage: ...
@overload
def stage(
    function: None = None,
    /,
    *,
    name: str | None = None,
    outputs: Any = None,
    over: str | Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    vectorized: bool | Literal["torch"] = False,
    resources: Resources | ResourcesOf | None = None,
    retry_on: Retryable | Iterable[Retryable] = (),
    max_attempts: int = 3,
    missing: Literal["block", "allow"] = "block",
    keep: bool = True,
    version: str | int | None = None,
) -> Callable[[Callable[..., Any]], Stage]: ...
def stage(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    outputs: Any = None,
    over: str | Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    vectorized: bool | Literal["torch"] = False,
    resources: Resources | ResourcesOf | None = None,
    retry_on: Retryable | Iterable[Retryable] = (),
    max_attempts: int = 3,
    missing: Literal["block", "allow"] = "block",
    keep: bool = True,
    version: str | int | None = None,
) -> Stage | Callable[[Callable[..., Any]], Stage]:
    """Make a stage of a function: as a decorator, with or without options, or by a call.

    Parameters
    ----------
    function
        Any callable. Its arguments are matched by name with parameters, constants, frozen inputs,
        outputs of other stages, ``rng`` and ``run_seed``.
    name
        Name of the stage, by default the function's; a bare value that it returns bears it.
    outputs
        What it returns: ``"effects"`` for nothing; ``["a", "b"]`` to name the values of a tuple;
        ``{"peak": float, "v": ("time",), "spikes": tk.ragged("spike"), "x": tk.Output(…)}``; or
        a Dataset like one run's. None: inferred from the first run. Arrays without named dims get
        ``<output>_dim0``, ``<output>_dim1`` and so on.
    over
        Dims that the stage takes whole.
    rename
        ``{"argument": "parameter"}``, for arguments whose names are not those of the space.
    vectorized
        The function takes a batch at once: arrays ``(n_runs,)``, and returns ``(n_runs, …)``.
        ``"torch"``: it takes one run, as tensors, and is run under ``torch.func.vmap``.
    resources
        What one run needs, or a function of parameters that returns it.
    retry_on
        Types of exceptions, or their names, after which a run is tried again.
    max_attempts
        How often a run is tried in all.
    missing
        What becomes of runs that need a failed one: ``"block"`` leaves them out, ``"allow"`` lets
        them go on without it.
    keep
        Whether results are stored.
    version
        Replaces the hash of the code; results of another version are stale.

    Returns
    -------
    Stage
        Or, without a function, a decorator that makes one.

    Raises
    ------
    StageError
        If an option has no meaning, or the function cannot be a stage.

    Examples
    --------
    >>> @stage(outputs={"area": float})
    ... def rectangle(width, height):
    ...     return width * height
    >>> rectangle(2, 3)
    6
    """

    def make(function: Callable[..., Any]) -> Stage:
        if isinstance(function, Stage):
            raise StageError(
                f"{function.name!r} is a stage already. Give all its options at once: "
                "tk.stage(function.function, …)."
            )
        return Stage(
            function=function,
            name=name or "",
            outputs=outputs,
            over=over,  # type: ignore[arg-type]  # Stage makes tuples of these
            rename=rename or {},
            vectorized=vectorized,
            resources=resources,
            retry_on=retry_on,  # type: ignore[arg-type]
            max_attempts=max_attempts,
            missing=missing,
            keep=keep,
            version=version,  # type: ignore[arg-type]
        )

    return make if function is None else make(function)


@runtime_checkable
class KnowsItsStage(Protocol):
    """A callable of this package that says itself how it is run."""

    def toolkit_stage(self) -> Stage:
        """Return the stage."""


def as_stage(given: object) -> Stage:
    """Return a stage as it is, and a plain function as a stage with nothing declared.

    Raises
    ------
    StageError
        If it is neither.
    """
    if isinstance(given, KnowsItsStage):
        return given.toolkit_stage()
    return given if isinstance(given, Stage) else Stage(function=given)  # type: ignore[arg-type]


def as_stages(
    given: Callable[..., Any] | Stage | Iterable[Callable[..., Any] | Stage],
) -> tuple[Stage, ...]:
    """Return one function or stage, or several, as stages.

    Raises
    ------
    SweepError
        If there is none.
    StageError
        If one of them is neither a function nor a stage.
    """
    several = isinstance(given, Iterable) and not callable(given) and not isinstance(given, str)
    stages = tuple(as_stage(each) for each in (given if several else [given]))  # type: ignore[union-attr]
    if not stages:
        raise SweepError("A sweep takes at least one function or stage, found none.")
    return stages


def _check(stage: Stage) -> None:
    if not isinstance(stage.name, str) or not _NAME.fullmatch(stage.name) or stage.name == "axes":
        raise StageError(
            f"A stage cannot be named {stage.name!r}. Give name= a word of letters, digits, '_', "
            "'-' and '.' that begins with a letter, other than 'axes'."
        )
    if stage.vectorized is not True and stage.vectorized not in (False, "torch"):
        raise StageError(f"vectorized={stage.vectorized!r}: write True, False or 'torch'.")
    if (
        isinstance(stage.max_attempts, bool)
        or not isinstance(stage.max_attempts, int)
        or (stage.max_attempts < 1)
    ):
        raise StageError(f"max_attempts={stage.max_attempts!r} must be a whole number, 1 or more.")
    if stage.missing not in ("block", "allow"):
        raise StageError(f"missing={stage.missing!r}: write 'block' or 'allow'.")
    resources: object = stage.resources
    if resources is not None and not isinstance(resources, Resources) and not callable(resources):
        raise StageError(
            f"resources={resources!r}: write tk.Resources(memory=…), or a function of parameters "
            "that returns one."
        )


def _names(option: str, given: object) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise StageError(f"{option}={given!r}: write a name or a list of names.")
    return tuple(names)


def _exceptions(given: Any) -> tuple[str, ...]:
    kinds = tuple(given) if isinstance(given, list | tuple | set | frozenset) else (given,)
    for kind in kinds:
        if not isinstance(kind, str) and not (
            isinstance(kind, type) and issubclass(kind, BaseException)
        ):
            raise StageError(f"retry_on has {kind!r}: write types of exceptions or their names.")
    return tuple(kind if isinstance(kind, str) else type_name(kind) for kind in kinds)
