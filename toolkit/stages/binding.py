"""Match the arguments of a stage by name with what a sweep has to offer."""

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.errors import StageError
from toolkit.stages.call import Argument, StageCall
from toolkit.stages.output import check_names
from toolkit.stages.signature import Parameter, Signature, read_signature
from toolkit.stages.stage import Stage

RANDOM = ("rng", "run_seed")


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A stage whose every argument has one source.

    Parameters
    ----------
    stage
        The stage.
    call
        How workers call its function.
    arguments
        By name of the argument: the parameter, frozen input or output that it takes.
    defaults
        Own defaults to be recorded as constants of the space, by name of the parameter.
    uses
        Parameters that the stage or its ``resources=`` depends on, defaults included.
    """

    stage: Stage
    call: StageCall
    arguments: Mapping[str, str]
    defaults: Mapping[str, object] = field(default_factory=dict)
    uses: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.stage.name

    @property
    def max_attempts(self) -> int:
        """How often a run is tried in all."""
        return self.stage.max_attempts

    @property
    def takes_rng(self) -> bool:
        """Whether the function takes ``rng``."""
        return any(argument.kind == "rng" for argument in self.call.arguments)

    @property
    def takes_run_seed(self) -> bool:
        """Whether the function takes ``run_seed``."""
        return any(argument.kind == "run_seed" for argument in self.call.arguments)


def bind(
    stage: Stage,
    parameters: Mapping[str, str],
    *,
    frozen: Collection[str] = (),
    outputs_of_others: Collection[str] = (),
    dims: Collection[str] = (),
    allow_unused: bool = False,
) -> Binding:
    """Match a stage with parameters, frozen inputs and outputs of other stages.

    Parameters
    ----------
    stage
        The stage.
    parameters
        By name of the parameter: ``"axis"``, ``"rows"``, ``"constant"``, ``"field"``,
        ``"replicates"``, or ``"label"`` for what only labels a dim and need not be used.
    frozen
        Names of the frozen inputs.
    outputs_of_others
        Names of the outputs of other stages.
    dims
        Dims of the space that bear no parameter's name; inner dims may not bear theirs.
    allow_unused
        Whether other stages may use the parameters that this one does not.

    Raises
    ------
    StageError
        If an argument has no source or two, ``rng`` is asked for by a vectorized stage, a
        parameter is used by nothing, or an output bears the name of a parameter.
    """
    offers = {
        "output of another stage": outputs_of_others,
        "parameter": parameters,
        "frozen input": frozen,
    }
    _check_one_source(stage, offers)
    _check_provided(stage, offers)
    arguments, defaults = _match(stage, stage.signature, parameters, offers)
    names = {argument.source for argument in arguments if argument.kind == "value"}
    takes_random = any(argument.kind in RANDOM for argument in arguments)
    for_resources = _resource_names(stage, set(parameters) | set(defaults))
    uses = (names | for_resources) - set(outputs_of_others)
    if not allow_unused:
        _check_all_used(stage, parameters, uses, takes_random)
    taken = frozenset([*parameters, *defaults, *dims])
    if stage.declared is not None:
        inner = [dim for output in stage.declared.outputs for dim in output.dims or ()]
        coords = [*inner, *stage.declared.coords]
        check_names(stage.declared.names, list(dict.fromkeys(coords)), taken, stage.over)
    call = StageCall(
        name=stage.name,
        function=stage.function,
        arguments=arguments,
        declared=stage.declared,
        vectorized=stage.vectorized,
        plain=_plain_arguments(stage, arguments, parameters),
        retry_on=stage.retry_on,
        taken=taken,
        over=stage.over,
    )
    return Binding(
        stage=stage,
        call=call,
        arguments={argument.name: argument.source for argument in arguments},
        defaults=defaults,
        uses=frozenset(uses),
    )


def _match(
    stage: Stage,
    signature: Signature,
    parameters: Mapping[str, str],
    offers: Mapping[str, Collection[str]],
) -> tuple[tuple[Argument, ...], dict[str, object]]:
    arguments: list[Argument] = []
    defaults: dict[str, object] = {}
    after_gap = False
    for parameter in signature.parameters:
        source = stage.rename.get(parameter.name, parameter.name)
        argument = _argument(stage, parameter, source, offers, by_keyword=after_gap)
        if argument is None:  # its own default serves, and is no label: nothing is passed
            after_gap = True
            continue
        is_offered = any(source in names for names in offers.values())
        if parameter.has_default and argument.kind == "value" and not is_offered:
            defaults[source] = _plain(parameter.default)
        arguments.append(argument)
    if signature.takes_others:
        known = {argument.source for argument in arguments}
        renamed = {source: name for name, source in stage.rename.items()}
        arguments += [
            Argument(name=renamed.get(source, source), source=source, by_keyword=True)
            for source, kind in parameters.items()
            if source not in known and kind not in ("replicates", "label")
        ]
    return tuple(arguments), defaults


def _argument(
    stage: Stage,
    parameter: Parameter,
    source: str,
    offers: Mapping[str, Collection[str]],
    *,
    by_keyword: bool,
) -> Argument | None:
    shared: dict[str, Any] = {
        "name": parameter.name,
        "source": source,
        "by_keyword": parameter.passing == "keyword"
        or (by_keyword and parameter.passing == "either"),
        "default": parameter.default,
        "has_default": parameter.has_default,
    }
    if source in offers["output of another stage"] or source in offers["parameter"]:
        return Argument(**shared)
    if source in offers["frozen input"]:
        return Argument(kind="constant", **shared)
    if source == "rng":
        if stage.vectorized:
            raise StageError(
                f"Stage {stage.name!r} is vectorized and takes rng, which belongs to one run. "
                "Take run_seed: an int64 array of shape (n_runs,), and draw with "
                "tk.draws(run_seed)."
            )
        return Argument(kind="rng", **shared)
    if source == "run_seed":
        return Argument(kind="run_seed", **shared)
    if not parameter.has_default:
        raise _without_source(stage, parameter.name, source, offers)
    # A vectorized function would get an array of None, and asks ``is None``.
    if is_label(parameter.default) and not (stage.vectorized and parameter.default is None):
        return Argument(**shared)
    return Argument(kind="constant", **shared) if parameter.passing == "position" else None


def _plain_arguments(
    stage: Stage, arguments: Sequence[Argument], parameters: Mapping[str, str]
) -> frozenset[str]:
    """Return which arguments of a torch stage are plain Python values where they are no floats.

    Those that are annotated int, bool or str, have such a default, or are constants of the space:
    numbers of steps, widths of layers, switches. Others are tensors.
    """
    if stage.vectorized != "torch":
        return frozenset()
    noted = getattr(stage.function, "__annotations__", {})
    return frozenset(
        argument.name
        for argument in arguments
        if argument.kind == "value"
        and (
            noted.get(argument.name) in (*_PLAIN, *(kind.__name__ for kind in _PLAIN))
            or (argument.has_default and type(argument.default) in _PLAIN)
            or parameters.get(argument.source) == "constant"
        )
    )


_PLAIN = (int, bool, str)


def is_label(value: object) -> bool:
    """Whether a default can be recorded as a constant: None, a finite number, bool or text.

    Examples
    --------
    >>> is_label(0.5), is_label("rbf"), is_label(None), is_label([1])
    (True, True, True, False)
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return math.isfinite(value)
    if type(value) is int:
        return abs(value) < 2**63
    return value is None or type(value) in (bool, str)


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _without_source(
    stage: Stage, name: str, source: str, offers: Mapping[str, Collection[str]]
) -> StageError:
    there = {f"{what}s": sorted(names) for what, names in offers.items() if names}
    there = {
        what.replace("output of another stages", "outputs of other stages"): names
        for what, names in there.items()
    }
    listed = "; ".join(f"{what} {', '.join(names)}" for what, names in there.items()) or "nothing"
    everything = [name for names in offers.values() for name in names]
    close = difflib.get_close_matches(source, [*everything, *RANDOM], n=1, cutoff=0.6)
    remedy = (
        "Add it to the space, give the argument a default, or use rename={'argument': 'parameter'}."
    )
    if close:
        remedy = f"Did you mean {close[0]!r}? Write rename={{{name!r}: {close[0]!r}}}."
    called = repr(name) if name == source else f"{name!r} (renamed {source!r})"
    return StageError(
        f"Stage {stage.name!r} takes {called}, and nothing provides it. "
        f"There are: {listed}; and rng, run_seed. {remedy}"
    )


def _check_one_source(stage: Stage, offers: Mapping[str, Collection[str]]) -> None:
    named = [(name, what) for what, names in offers.items() for name in names]
    whats: dict[str, list[str]] = {}
    for name, what in named:
        whats.setdefault(name, []).append(what)
    for name, found in whats.items():
        if len(found) > 1:
            raise StageError(
                f"{name!r} has two sources for stage {stage.name!r}: it is {' and '.join(found)}. "
                "Rename one of them."
            )
        if name in RANDOM:
            raise StageError(f"{name!r} is the name of {found[0]}, and reserved. Rename it.")


def _check_provided(stage: Stage, offers: Mapping[str, Collection[str]]) -> None:
    """Refuse names that a program's template gets from its run and from the sweep."""
    for name in getattr(stage.function, "provided", ()):
        for what, names in offers.items():
            if name in names:
                raise StageError(
                    f"{name!r} has two sources for stage {stage.name!r}: every command may use "
                    f"{{{name}}}, and it is {what}. Rename the latter."
                )


def _resource_names(stage: Stage, known: set[str]) -> set[str]:
    if stage.resources is None or stage.fixed_resources is not None:
        return set()
    wanted = read_signature(stage.resources, f"resources= of {stage.name}")  # type: ignore[arg-type]
    missing = [p.name for p in wanted.parameters if p.name not in known and not p.has_default]
    if missing:
        raise StageError(
            f"resources= of stage {stage.name!r} takes {', '.join(map(repr, missing))}; "
            f"the parameters are {', '.join(sorted(known)) or 'none'}."
        )
    return set(wanted.names) & known


def _check_all_used(
    stage: Stage, parameters: Mapping[str, str], uses: set[str], takes_random: bool
) -> None:
    unused = [
        name
        for name, kind in parameters.items()
        if name not in uses and kind not in ("label", "replicates")
    ]
    if unused:
        arguments = ", ".join(stage.signature.names) or "no arguments"
        raise StageError(
            f"Nothing uses {_listed(unused)}: stage {stage.name!r} takes {arguments}. "
            "Add the argument to the function, use rename={'argument': 'parameter'}, or leave the "
            "parameter out of the space."
        )
    repeated = [
        name for name, kind in parameters.items() if kind == "replicates" and name not in uses
    ]
    if repeated and not takes_random:
        raise StageError(
            f"Replicates {_listed(repeated)} would repeat the same run: stage {stage.name!r} takes "
            f"neither rng, run_seed nor {_listed(repeated)}. Take rng and draw from it."
        )


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
