"""Several stages wired by the names of their arguments: who needs whose output, in which order."""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.errors import StageError
from toolkit.stages.binding import Binding, bind
from toolkit.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Link:
    """An argument that takes what another stage returned.

    Parameters
    ----------
    source
        What the argument asks for: the name of the output, or of the stage.
    stage
        The stage that gives it.
    output
        The output; None for everything the stage returned: its one value, or a dict of them.
    """

    source: str
    stage: str
    output: str | None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One stage among others.

    Parameters
    ----------
    binding
        The stage with every argument matched.
    links
        Its arguments that other stages give.
    names
        Parameters that its runs depend on, directly or through the stages before it.
    defaults
        Defaults of arguments, its own and those of the stages before it.
    takes_random
        Whether it or a stage before it takes ``rng`` or ``run_seed``.
    """

    binding: Binding
    links: tuple[Link, ...] = ()
    names: frozenset[str] = frozenset()
    defaults: Mapping[str, object] = field(default_factory=dict)
    takes_random: bool = False

    @property
    def stage(self) -> Stage:
        """The stage."""
        return self.binding.stage

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.binding.name

    @property
    def upstream(self) -> tuple[str, ...]:
        """Names of the stages whose outputs it takes, each once."""
        return tuple(dict.fromkeys(link.stage for link in self.links))


def wire(
    stages: Sequence[Stage],
    parameters: Mapping[str, str],
    *,
    dims: Collection[str] = (),
    frozen: Collection[str] = (),
    stored: Callable[[str], Iterable[str]] = lambda _: (),
) -> tuple[Node, ...]:
    """Match the arguments of stages with parameters and each other's outputs.

    Parameters
    ----------
    stages
        In any order.
    parameters
        The space's parameters and their kinds, as for ``bind``.
    dims
        Dims of the space that bear no parameter's name.
    frozen
        Names of the frozen inputs.
    stored
        Gives the outputs that a stage is known to have where it declares none.

    Returns
    -------
    tuple of Node
        Each stage after those that it needs.

    Raises
    ------
    StageError
        If two stages have one name or give one output, an argument has no source or two, the
        stages need each other in a circle, or something is used by nothing: a parameter, or what
        a stage returns that is not kept. The message draws the path.

    Examples
    --------
    >>> from toolkit.stages.stage import as_stage
    >>> def fit(size): ...
    >>> def score(fit, noise): ...
    >>> nodes = wire([as_stage(score), as_stage(fit)], {"size": "axis", "noise": "axis"})
    >>> [(node.name, sorted(node.names)) for node in nodes]
    [('fit', ['size']), ('score', ['noise', 'size'])]
    """
    _check_names(stages)
    givers = _givers(stages, stored) if len(stages) > 1 else {}
    links = {stage.name: _links(stage, givers) for stage in stages}
    nodes: dict[str, Node] = {}
    for stage in _ordered(stages, links):
        given = {link.source for link in links[stage.name]}
        try:
            binding = bind(
                stage,
                parameters,
                frozen=frozen,
                outputs_of_others=given,
                dims=dims,
                allow_unused=len(stages) > 1,
            )
        except StageError as error:
            raise StageError(_with_path(str(error), stage, stages, links, givers)) from None
        nodes[stage.name] = _node(binding, links[stage.name], nodes, parameters)
    made = tuple(nodes.values())
    if len(stages) > 1:
        _check_all_used(made, parameters)
    _check_unkept(made)
    return made


def sketch(nodes: Iterable[Node]) -> str:
    """Return the stages as text, a line each: what it takes, what gives it, what it returns.

    Examples
    --------
    >>> from toolkit.stages.stage import as_stage
    >>> def fit(size): ...
    >>> def score(fit, noise): ...
    >>> print(sketch(wire([as_stage(fit), as_stage(score)], {"size": "axis", "noise": "axis"})))
    fit(size)
    fit -> score(fit, noise)
    """
    lines = []
    for node in nodes:
        before = ", ".join(node.upstream)
        arguments = ", ".join(node.binding.arguments)
        lines.append(f"{before + ' -> ' if before else ''}{node.name}({arguments})")
    return "\n".join(lines)


def _check_names(stages: Sequence[Stage]) -> None:
    names = [stage.name for stage in stages]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StageError(
            f"Two stages are named {', '.join(map(repr, twice))}. Give one of them another name: "
            "tk.stage(function, name=…)."
        )


def _givers(
    stages: Sequence[Stage], stored: Callable[[str], Iterable[str]]
) -> dict[str, tuple[str, str | None]]:
    """Return which stage gives what, by the name that an argument asks for."""
    givers: dict[str, tuple[str, str | None]] = {}
    for stage in stages:
        declared = stage.declared
        names = tuple(stored(stage.name)) if declared is None else declared.names
        for name in names:
            if name in givers:
                raise StageError(
                    f"Stages {givers[name][0]!r} and {stage.name!r} both return {name!r}. Name it "
                    "otherwise in the outputs= of one of them."
                )
            givers[name] = (stage.name, name)
    for stage in stages:
        held = givers.get(stage.name)
        if held is not None and held[0] != stage.name:
            raise StageError(
                f"Stage {held[0]!r} returns {stage.name!r}, which is the name of another stage. "
                "Rename the output or the stage."
            )
        givers.setdefault(stage.name, (stage.name, None))
    return givers


def _links(stage: Stage, givers: Mapping[str, tuple[str, str | None]]) -> tuple[Link, ...]:
    wanted = (stage.rename.get(name, name) for name in stage.signature.names)
    return tuple(
        Link(source=source, stage=givers[source][0], output=givers[source][1])
        for source in dict.fromkeys(wanted)
        if source in givers and givers[source][0] != stage.name
    )


def _ordered(stages: Sequence[Stage], links: Mapping[str, tuple[Link, ...]]) -> list[Stage]:
    """Return each stage after those that it needs, otherwise in the order given."""
    by_name = {stage.name: stage for stage in stages}
    ordered: dict[str, Stage] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = (*path[path.index(name) :], name)
            raise StageError(
                f"The stages need each other in a circle: {' -> '.join(reversed(circle))}. Each "
                "takes an output of the one before it; take one of these arguments away."
            )
        if name in ordered:
            return
        for link in links[name]:
            visit(link.stage, (*path, name))
        ordered[name] = by_name[name]

    for stage in stages:
        visit(stage.name, ())
    return list(ordered.values())


def _node(
    binding: Binding,
    links: tuple[Link, ...],
    before: Mapping[str, Node],
    parameters: Mapping[str, str],
) -> Node:
    upstream = [before[name] for name in dict.fromkeys(link.stage for link in links)]
    names = set(binding.uses)
    defaults: dict[str, object] = {}
    for node in upstream:
        names |= node.names
        for name, value in node.defaults.items():
            _keep_default(defaults, name, value, node.name, binding.name)
    for name, value in binding.defaults.items():
        _keep_default(defaults, name, value, binding.name, binding.name)
    takes_random = (
        binding.takes_rng or binding.takes_run_seed or any(node.takes_random for node in upstream)
    )
    if takes_random:
        names |= {name for name, kind in parameters.items() if kind == "replicates"}
    return Node(
        binding=binding,
        links=links,
        names=frozenset(names),
        defaults=defaults,
        takes_random=takes_random,
    )


def _keep_default(
    defaults: dict[str, object], name: str, value: object, owner: str, stage: str
) -> None:
    if name in defaults and (type(defaults[name]), defaults[name]) != (type(value), value):
        raise StageError(
            f"Stage {stage!r} and those before it have different defaults for {name!r}: "
            f"{defaults[name]!r} and, in {owner!r}, {value!r}. Give {name!r} in the space, or "
            "rename one of the arguments."
        )
    defaults[name] = value


def _check_all_used(nodes: Sequence[Node], parameters: Mapping[str, str]) -> None:
    used = {name for node in nodes for name in node.names}
    unused = [
        name
        for name, kind in parameters.items()
        if name not in used and kind not in ("label", "replicates")
    ]
    if unused:
        raise StageError(
            f"Nothing uses {', '.join(map(repr, unused))}:\n{sketch(nodes)}\nAdd the argument to a "
            "function, use rename={'argument': 'parameter'}, or leave the parameter out of the "
            "space."
        )
    repeated = [
        name for name, kind in parameters.items() if kind == "replicates" and name not in used
    ]
    if repeated:
        raise StageError(
            f"Replicates {', '.join(map(repr, repeated))} would repeat the same runs: no stage "
            f"takes rng, run_seed or that name.\n{sketch(nodes)}"
        )


def _check_unkept(nodes: Sequence[Node]) -> None:
    taken = {name for node in nodes for name in node.upstream}
    idle = [node.name for node in nodes if not node.stage.keep and node.name not in taken]
    if idle:
        raise StageError(
            f"Nothing would come of {', '.join(map(repr, idle))}: no stage takes what it returns, "
            f"and keep=False does not store it.\n{sketch(nodes)}\nLeave keep=False out."
        )


def _with_path(
    message: str,
    stage: Stage,
    stages: Sequence[Stage],
    links: Mapping[str, tuple[Link, ...]],
    givers: Mapping[str, tuple[str, str | None]],
) -> str:
    """Return a message with the way that leads to a stage, where there are several."""
    if len(stages) == 1 or "nothing provides" not in message:
        return message
    path = [stage.name]
    while links[path[0]] and links[path[0]][0].stage not in path:
        path.insert(0, links[path[0]][0].stage)
    arguments = ", ".join(stage.signature.names)
    drawn = " -> ".join(path) + f"({arguments})"
    there = ", ".join(
        f"{name} (of {giver})" for name, (giver, _) in givers.items() if giver != stage.name
    )
    close = [
        name
        for argument in stage.signature.names
        for name in difflib.get_close_matches(argument, list(givers), n=1, cutoff=0.75)
        if name != argument and givers[name][0] != stage.name
    ]
    hint = f" Did you mean {close[0]!r}?" if close else ""
    undeclared = [each.name for each in stages if each.declared is None and each is not stage]
    tip = (
        f" {', '.join(undeclared)} declare no outputs=; name them there to take them one by one."
        if undeclared
        else ""
    )
    return f"{message}\nThe path: {drawn}. Outputs of the others: {there}.{hint}{tip}"
