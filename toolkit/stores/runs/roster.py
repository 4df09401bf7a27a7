"""The stages of a store: made when asked for, and handed the records that are theirs."""

import uuid
from collections.abc import Iterable
from typing import Any

from toolkit.errors import StoreError
from toolkit.stores.arrays.chunks import array_name
from toolkit.stores.arrays.hierarchy import Hierarchy
from toolkit.stores.arrays.layout import ATTRIBUTE, FORMAT_VERSION
from toolkit.stores.journals.records import Record
from toolkit.stores.runs.home import Home
from toolkit.stores.runs.stage_runs import StageRuns

_ROUND = 32 << 20  # bytes of records that may wait before the stages look at them


def new_hierarchy(hierarchy: Hierarchy, provenance: dict[str, Any]) -> str:
    """Put the root of a new store into a hierarchy; return the store's identity."""
    identity = uuid.uuid4().hex
    ours = {"format_version": FORMAT_VERSION, "identity": identity, "stages": []}
    hierarchy.put_group("", {ATTRIBUTE: ours, "provenance": provenance})
    return identity


class Roster:
    """The stages of one store, by name, in the order in which they were made."""

    def __init__(self, home: Home, marker: dict[str, Any]) -> None:
        self._home = home
        self._marker = marker
        self._runs: dict[str, StageRuns] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stages."""
        return tuple(item["name"] for item in self._listed())

    @property
    def open_runs(self) -> list[StageRuns]:
        """The stages that were asked for."""
        return list(self._runs.values())

    def open_all(self) -> None:
        """Open every stage, so that none misses a record."""
        for name in self.names:
            self.stage(name)

    def stage(self, name: str, *, create: bool = False) -> StageRuns:
        """Return the runs of a stage.

        Raises
        ------
        StoreError
            If there is no such stage and none is to be made.
        """
        if name in self._runs:
            return self._runs[name]
        group = {item["name"]: item["group"] for item in self._listed()}.get(name)
        if group is None:
            if not create:
                raise StoreError(
                    f"There is no stage {name!r} in this store. "
                    f"It has: {', '.join(self.names) or 'none'}."
                )
            group = self._add(name)
        marker = self._marker.get(name, {})
        runs = self._runs[name] = StageRuns(self._home, name, group, marker)
        return runs

    def route(self, sent: Iterable[tuple[str, Record]]) -> None:
        """Hand records to their stages; those of a stage that is not stored are dropped."""
        waiting = 0
        for journal, record in sent:
            runs = self._runs.get(record.origin.stage)
            if runs is not None:
                runs.deliver(journal, record)
            waiting += record.origin.end - record.origin.start
            if waiting > _ROUND:
                waiting = 0
                self.drain()

    def drain(self) -> None:
        """Let every stage look at what it was handed."""
        for runs in self._runs.values():
            runs.drain()

    def marker(self) -> dict[str, Any]:
        """Return how far each stage is folded."""
        return {
            name: {"offsets": runs.folded, "parameters": runs.parameters_done}
            for name, runs in self._runs.items()
        }

    def _listed(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self._home.hierarchy.attributes("")[ATTRIBUTE]["stages"]
        return found

    def _add(self, name: str) -> str:
        """Give a new stage its group: the root for the first one."""
        hierarchy = self._home.hierarchy
        group = ""
        listed = self._listed()
        if listed:
            group = array_name(name)
            while group in hierarchy.documents:
                group += "_stage"
            hierarchy.put_group(group, {ATTRIBUTE: {"stage": name}})
        ours = hierarchy.attributes("")[ATTRIBUTE]
        stages = [*listed, {"name": name, "group": group}]
        hierarchy.set_attributes("", {ATTRIBUTE: {**ours, "stages": stages}})
        hierarchy.commit()
        return group
