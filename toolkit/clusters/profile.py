"""Cluster profiles: YAML files, checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from toolkit.clusters.plain_yaml import read_yaml
from toolkit.errors import ClusterError, ToolkitError
from toolkit.resources import parse_memory

_FOLDER = "cluster_configs"
_LONGEST = 200  # characters of a value that a message shows
_MOST = 1024  # workers of a kind, or threads of one: a slip of the pen starts no million processes


def _memory(value: object) -> object:
    if value in ("auto", None):
        return value
    if not isinstance(value, str):
        raise ValueError(f"needs a unit, such as '4GB' (found {value!r})")
    try:
        parse_memory(value)
    except ToolkitError as error:
        raise ValueError(str(error)) from None
    return value


def _address(value: str | None) -> str | None:
    _, _, port = (value or ":0").rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 1 << 16):
        raise ValueError("needs a port, such as '127.0.0.1:8787'")
    return value


_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class WorkerKind(BaseModel):
    """One kind of worker: how many, and what each has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: Literal["auto"] | Annotated[int, Field(ge=0, le=_MOST)] = "auto"
    threads: Annotated[int, Field(ge=1, le=_MOST)] = 1
    memory: Annotated[str | None, BeforeValidator(_memory)] = "auto"
    resources: dict[str, _Amount] = Field(default_factory=dict)


class LocalProfile(BaseModel):
    """The machine that the driver runs on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["local"]
    dashboard: Annotated[str | None, AfterValidator(_address)] = "127.0.0.1:8787"
    workers: dict[str, WorkerKind] = Field(default_factory=lambda: {"cpu": WorkerKind()})


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A checked profile and where it came from."""

    name: str
    path: Path
    settings: LocalProfile


def load_profile(name_or_path: str | Path, **overrides: object) -> Profile:
    """Read and check a cluster profile.

    Parameters
    ----------
    name_or_path
        The name of a profile (``"local"``) or the path of a YAML file. A name is looked for in
        ``cluster_configs/`` of the working directory, then among those that ship here.
    **overrides
        Settings that replace those of the file: ``dashboard``; and ``workers`` (a number),
        ``threads``, ``memory``, ``resources`` for a profile with one kind of worker, or
        ``workers`` as a mapping of kinds like the file's.

    Raises
    ------
    ClusterError
        If there is no such profile (the message lists those found) or a key or value is wrong
        (the message names the file and the key).
    """
    path = _find(name_or_path)
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ClusterError(f"{path} must hold a mapping with 'kind', found {type(raw).__name__}.")
    kind = raw.get("kind")
    if kind != "local":
        raise ClusterError(f"{path}: kind is {_brief(kind)}; the kinds of cluster are 'local'.")
    try:
        settings = LocalProfile.model_validate(_merge(raw, overrides, path))
    except ValidationError as error:
        raise ClusterError(_explain(path, error)) from None
    return Profile(name=path.stem, path=path, settings=settings)


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


def _merge(raw: Mapping[str, object], overrides: Mapping[str, object], path: Path) -> object:
    merged = dict(raw)
    one_kind = {
        "n_workers": "count", "workers": "count", "threads_per_worker": "threads",
        "threads": "threads", "memory_limit": "memory", "memory": "memory",
        "resources": "resources",
    }  # fmt: skip
    changes: dict[str, object] = {}
    for name, value in overrides.items():
        if name == "workers" and isinstance(value, Mapping):
            merged["workers"] = dict(value)
        elif name in one_kind:
            changes[one_kind[name]] = value
        elif name in LocalProfile.model_fields and name != "kind":
            merged[name] = value
        else:
            known = sorted({*one_kind, *LocalProfile.model_fields} - {"kind"})
            raise ClusterError(f"Unknown cluster setting {name!r}. Known: {', '.join(known)}.")
    if changes:
        kinds = merged.get("workers") or {"cpu": {}}
        if not isinstance(kinds, Mapping) or len(kinds) != 1:
            raise ClusterError(
                f"{path} has several kinds of workers, so {', '.join(sorted(changes))} does not "
                "say which is meant. Give workers={kind: {...}}."
            )
        [(kind, given)] = kinds.items()
        merged["workers"] = {kind: {**(given or {}), **changes}}
    return merged


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _explain(path: Path, error: ValidationError) -> str:
    lines = [f"{path} is not a valid cluster profile:"]
    for problem in error.errors():
        key = ".".join(
            str(part) for part in problem["loc"] if part not in ("int", "literal['auto']")
        )
        message = problem["msg"]
        if problem["type"] == "extra_forbidden":
            message = "is not a setting; check its spelling"
        lines.append(f"  {key[:_LONGEST]}: {message} (found {_brief(problem['input'])})")
    return "\n".join(lines)
