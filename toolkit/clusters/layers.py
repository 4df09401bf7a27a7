"""Settings from several places, one over the other, with where each of them comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.clusters.environment import MissingVariableError, expand
from toolkit.clusters.site_configuration import site_settings
from toolkit.errors import ClusterError

Key = tuple[str, ...]

SPELLINGS = {"workers": "tiers", "queue": "partition", "project": "account"}
"""Older names, and those of dask-jobqueue, with the one that is used here."""

INHERITED = (
    *("partition", "account", "gpu_type", "qos", "constraint"),
    *("directives", "skip_directives"),
)
"""Settings that hold for each tier that does not say otherwise."""

_FOR_THE_JOBS_SHELL = ("prologue",)  # it expands its variables itself, on the node
_SHAPE = ("cores", "threads", "processes")


@dataclass
class Layers:
    """The settings of one profile, as they are put together.

    Parameters
    ----------
    path
        Of the profile's file.
    values
        Settings under their names here; ``tiers`` holds a mapping for each tier.
    origins
        Where the setting under each key comes from.
    spelled
        Keys that the file spells otherwise, with its spelling.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, str] = field(default_factory=dict)
    spelled: dict[Key, str] = field(default_factory=dict)

    def add_file(self, content: Mapping[str, Any], lines: Mapping[Key, int]) -> None:
        """Take what the file says, with its variables replaced.

        Raises
        ------
        ClusterError
            If a variable is missing, or something is said under two names.
        """
        self.values = self._named(content, (), lines)
        tiers = self.values.get("tiers")
        if isinstance(tiers, dict):
            self.values["tiers"] = {
                name: self._named(tier, ("tiers", str(name)), lines)
                if isinstance(tier, Mapping)
                else tier
                for name, tier in tiers.items()
            }

    def add_override(self, key: Key, value: Any) -> None:
        """Take a setting that replaces the one of the file."""
        *path, last = key
        into = self.values
        for part in path:
            inner = into.get(part)
            into[part] = into = dict(inner) if isinstance(inner, Mapping) else {}
        into[last] = value
        for known in [known for known in self.origins if known[: len(key)] == key]:
            del self.origins[known]
        self.origins[key] = "override"
        if len(key) == 1 and last in INHERITED:  # the tiers do not keep their own against it
            for tier, settings in list(self._tiers()):
                if last in settings:
                    self.add_override((*tier, last), value)

    def add_site(self, kind: str, common_fields: set[str], tier_fields: set[str]) -> None:
        """Fill in what the site's configuration of Dask says and the profile does not."""
        common, of_tiers, origins = site_settings(kind)
        for name, value in common.items():
            if name in common_fields and name not in self.values:
                self.values[name] = value
                self.origins[(name,)] = origins[name]
        for key, tier in self._tiers():
            shape = {name for name in _SHAPE if name in tier}
            for name, value in of_tiers.items():
                if name in tier or name not in tier_fields or (shape and name in _SHAPE):
                    continue
                tier[name] = value
                self.origins[(*key, name)] = origins[name]

    def inherit(self, tier_fields: set[str]) -> None:
        """Give each tier what is said for all of them."""
        for key, tier in self._tiers():
            for name in INHERITED:
                if name in tier_fields and name in self.values and name not in tier:
                    tier[name] = self.values[name]
                    self.origins[(*key, name)] = self.origin((name,))

    def origin(self, key: Key) -> str:
        """Return where a setting comes from: from where it or what holds it was set."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.origins:
                return self.origins[key[:length]]
        return "default"

    def spelling(self, key: Key) -> str:
        """Return a key as the file spells it, with dots."""
        return ".".join(
            self.spelled.get(key[: length + 1], part) for length, part in enumerate(key)
        )

    def _tiers(self) -> Iterator[tuple[Key, dict[str, Any]]]:
        tiers = self.values.get("tiers")
        if isinstance(tiers, Mapping):
            self.values["tiers"] = tiers = dict(tiers)
            for name, tier in tiers.items():
                if isinstance(tier, Mapping):
                    tiers[name] = own = dict(tier)
                    yield ("tiers", str(name)), own

    def _named(self, content: Mapping[str, Any], at: Key, lines: Mapping[Key, int]) -> Any:
        """Return one level of the file under the names used here."""
        named: dict[Any, Any] = {}
        in_file = tuple(self.spelled.get(at[: n + 1], part) for n, part in enumerate(at))
        for given, value in content.items():
            name = SPELLINGS.get(given, given) if isinstance(given, str) else given
            key = (*at, str(name))
            if name in named:
                other = self.spelled.get(key, name)
                raise ClusterError(
                    f"{self.path}: {'.'.join((*in_file, str(given)))} and {other} are two names "
                    "of one setting. Keep one of them."
                )
            if name != given:
                self.spelled[key] = given
            line = lines.get((*in_file, str(given)))
            origin = str(self.path) if line is None else f"{self.path}:{line}"
            is_for_later = name in _FOR_THE_JOBS_SHELL
            named[name], used = (value, []) if is_for_later else self._expanded(value, key)
            via = "".join(f", ${each}" for each in dict.fromkeys(used))
            if not (at == () and name == "tiers"):
                self.origins[key] = origin + via
        return named

    def _expanded(self, value: Any, key: Key) -> tuple[Any, list[str]]:
        if isinstance(value, str):
            try:
                text, used = expand(value)
            except MissingVariableError as error:
                raise ClusterError(f"{self.path}: {self.spelling(key)}: {error}.") from None
            return (None if text == "" and value else text), used
        if isinstance(value, list):
            parts = [self._expanded(each, key) for each in value]
            return [each for each, _ in parts], [name for _, names in parts for name in names]
        if isinstance(value, Mapping) and key != ("tiers",):
            parts = [self._expanded(each, key) for each in value.values()]
            names = [name for _, found in parts for name in found]
            return dict(zip(value, (each for each, _ in parts), strict=True)), names
        return value, []
