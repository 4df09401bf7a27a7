"""Cluster profiles: YAML files, checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from toolkit.clusters.layers import SPELLINGS, Key, Layers
from toolkit.clusters.plain_yaml import read_yaml_lines
from toolkit.clusters.settings import KINDS, TIERS, ClusterSettings, LocalProfile, QueueSettings
from toolkit.errors import ClusterError

_FOLDER = "cluster_configs"
_LONGEST = 200  # characters of a value that a message shows
_LEVELS = 3  # tiers.small.memory
_NOT_KEYS = ("int", "literal['auto']", "constrained-int", "function-before", "function-after")
_OF_THE_ONLY_TIER = {
    "n_workers": "count", "workers": "count", "threads_per_worker": "threads",
    "memory_limit": "memory",
}  # fmt: skip
_DASK_ONLY = {
    "oar": "its jobs are submitted as one argument, not as a script",
    "htcondor": "its jobs are no shell scripts",
}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A checked profile and where it came from.

    Parameters
    ----------
    name, path
        Of its file.
    settings
        What it comes to, with what the site's configuration and the defaults add.
    origins
        Where each setting comes from, by its key with dots, such as ``"tiers.small.memory"``.
    """

    name: str
    path: Path
    settings: ClusterSettings
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> LocalProfile:
        """The settings of a profile of this machine."""
        if not isinstance(self.settings, LocalProfile):
            raise ClusterError(f"{self.path} describes a job queue, not this machine.")
        return self.settings

    @property
    def queue(self) -> QueueSettings:
        """The settings of a profile of a job queue."""
        if isinstance(self.settings, LocalProfile):
            raise ClusterError(f"{self.path} describes this machine, not a job queue.")
        return self.settings


def load_profile(name_or_path: str | Path, **overrides: object) -> Profile:
    """Read and check a cluster profile.

    What the file does not say comes from the site's configuration of dask-jobqueue
    (``jobqueue.slurm`` in Dask's own files), and then from the defaults here.

    Parameters
    ----------
    name_or_path
        The name of a profile (``"local"``) or the path of a YAML file. A name is looked for in
        ``cluster_configs/`` of the working directory, then among those that ship here.
    **overrides
        Settings that replace those of the file: any of them by its name, those of a tier as
        ``**{"tiers.small.maximum": 5}``; ``tiers`` (or ``workers``) as a mapping in place of the
        file's; and ``workers`` (a number), ``threads``, ``memory`` and whatever else a tier has
        for a profile with one tier.

    Raises
    ------
    ClusterError
        If there is no such profile (the message lists those found), a key or value is wrong (the
        message names the file and the key), or an environment variable is missing.
    """
    path = _find(name_or_path)
    raw, lines = read_yaml_lines(path, levels=_LEVELS)
    if not isinstance(raw, dict):
        raise ClusterError(f"{path} must hold a mapping with 'kind', found {type(raw).__name__}.")
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        why = f" ({_DASK_ONLY[kind]})" if isinstance(kind, str) and kind in _DASK_ONLY else ""
        raise ClusterError(
            f"{path}: kind is {_brief(kind)}{why}; the kinds of cluster are "
            f"{', '.join(map(repr, KINDS))}."
        )
    common, of_tier = set(KINDS[kind].model_fields), set(TIERS[kind].model_fields)
    layers = Layers(path)
    layers.add_file(raw, lines)
    _override(layers, overrides, common, of_tier)
    if kind != "local":
        layers.add_site(kind, common, of_tier)
        layers.inherit(of_tier)
    try:
        settings = KINDS[kind].model_validate(layers.values)
    except ValidationError as error:
        raise ClusterError(_explain(layers, error)) from None
    return Profile(
        name=path.stem,
        path=path,
        settings=cast(ClusterSettings, settings),
        origins={".".join(key): layers.origin(key) for key in _keys(settings)},
    )


def profile_names() -> dict[str, Path]:
    """Return the profiles that can be named, and where each is."""
    found: dict[str, Path] = {}
    for folder in reversed(_folders()):
        found.update({path.stem: path for path in sorted(folder.glob("*.yaml"))})
    return found


def _folders() -> list[Path]:
    package = Path(__file__).resolve().parent.parent
    candidates = (Path.cwd() / _FOLDER, package.parent / _FOLDER, package / _FOLDER)
    return [folder for folder in candidates if folder.is_dir()]


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise ClusterError(f"There is no cluster profile at {path.absolute()}.")
    names = profile_names()
    if str(name_or_path) not in names:
        listed = ", ".join(sorted(names)) or "none"
        raise ClusterError(
            f"There is no cluster profile named {str(name_or_path)!r}. Found: {listed}. Give one "
            f"of these, or the path of a YAML file."
        )
    return names[str(name_or_path)]


def _override(
    layers: Layers, overrides: Mapping[str, object], common: set[str], of_tier: set[str]
) -> None:
    settable = common - {"kind"}
    for_the_only_tier: dict[str, object] = {}
    for given, value in overrides.items():
        name = SPELLINGS.get(given, given)
        tier_key = _OF_THE_ONLY_TIER.get(given, name)
        if name == "tiers" and isinstance(value, Mapping):
            layers.add_override(("tiers",), dict(value))
        elif name in settable and name != "tiers":
            layers.add_override((name,), value)
        elif given.startswith("tiers.") and given.count(".") == _LEVELS - 1:
            _, tier, setting = given.split(".")
            layers.add_override(("tiers", tier, SPELLINGS.get(setting, setting)), value)
        elif tier_key in of_tier:
            for_the_only_tier[tier_key] = value
        else:
            known = sorted({*_OF_THE_ONLY_TIER, *settable, *of_tier, "tiers.TIER.SETTING"})
            raise ClusterError(f"Unknown cluster setting {given!r}. Known: {', '.join(known)}.")
    if for_the_only_tier:
        tiers = layers.values.get("tiers") or {"cpu": {}}
        if not isinstance(tiers, Mapping) or len(tiers) != 1:
            raise ClusterError(
                f"{layers.path} has several tiers, so {', '.join(sorted(for_the_only_tier))} does "
                'not say which is meant. Give "tiers.TIER.SETTING", or tiers={TIER: {...}}.'
            )
        for setting, value in for_the_only_tier.items():
            layers.add_override(("tiers", *tiers, setting), value)


def _keys(settings: BaseModel, at: Key = ()) -> list[Key]:
    """Return the keys of all settings but those that hold others."""
    found: list[Key] = []
    for name in type(settings).model_fields:
        value: Any = getattr(settings, name)
        if isinstance(value, Mapping) and any(isinstance(v, BaseModel) for v in value.values()):
            for tier, inner in value.items():
                found += _keys(inner, (*at, name, tier))
        else:
            found.append((*at, name))
    return found


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _explain(layers: Layers, error: ValidationError) -> str:
    lines = [f"{layers.path} is not a valid cluster profile:"]
    for problem in error.errors():
        parts = tuple(
            str(part)
            for part in problem["loc"]
            if not str(part).startswith(_NOT_KEYS) and part != "[key]"
        )
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "is not a setting; check its spelling"
        found = "" if problem["type"] == "missing" else f" (found {_brief(problem['input'])})"
        if problem["type"] == "value_error" and isinstance(problem["input"], dict):
            found = ""  # of several settings together, which the message names
        if problem["type"] == "missing":
            message = "is needed"
        where = layers.origin(parts)
        via = "" if where in ("default", str(layers.path)) else f" [{where}]"
        lines.append(f"  {layers.spelling(parts)[:_LONGEST]}: {message}{found}{via}")
    return "\n".join(lines)
