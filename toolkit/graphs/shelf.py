"""Where a scheduler keeps what the tasks of lazy Datasets refer to, and how workers ask for it.

No client has to prepare a cluster: a graph that is unpacked in the scheduler's process puts what
it came with on that scheduler's shelf. The shelf also says which worker resources a block needs,
key by key: annotations of layers get lost when Dask fuses tasks.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.graphs.layer_spec import LayerSpec

_NAME = "toolkit-graphs"
_HANDLER = "toolkit_graphs"
_MOST_ENTRIES = 1_000
_MOST_BYTES = 500_000_000


class Shelf:
    """A scheduler's plugin and handler.

    Parameters
    ----------
    scheduler
        The scheduler.
    """

    name = _NAME

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._contents: dict[str, str] = {}
        self._resources: dict[str, Mapping[str, float]] = {}

    def add(self, layer: "LayerSpec") -> None:
        """Keep a layer, those before it, and their content."""
        token, payload = layer.source.token, layer.source.payload
        if payload is None:
            return
        self._entries[token] = payload
        self._entries.move_to_end(token)
        for each in (layer, *layer.before):
            if each.name not in self._entries:
                self._entries[each.name] = each.without_content()
                self._contents[each.name] = token
                if each.resources:
                    self._resources[each.name] = each.resources
            self._entries.move_to_end(each.name)
        self._tidy()

    async def get(self, name: str) -> bytes | None:
        """Return an entry to a worker; None where it is not here any more."""
        return self._entries.get(name)

    def update_graph(self, scheduler: Any, *, tasks: list[Any], **_: Any) -> None:
        """Say which workers the blocks of new tasks may go to."""
        if not self._resources:
            return
        for key in tasks:
            if type(key) is tuple and key and key[0] in self._resources:
                scheduler.tasks[key].resource_restrictions = dict(self._resources[key[0]])

    def __getattr__(self, name: str) -> Any:
        """Do nothing at the other events of a scheduler."""
        from distributed import SchedulerPlugin

        return getattr(SchedulerPlugin(), name)

    def _tidy(self) -> None:
        """Drop the oldest entries that no task refers to, where there are many."""
        size = sum(map(len, self._entries.values()))
        if len(self._entries) <= _MOST_ENTRIES and size <= _MOST_BYTES:
            return
        used = {key[0] for key in self._scheduler.tasks if type(key) is tuple and key}
        used |= {self._contents[name] for name in used if name in self._contents}
        newest = set(list(self._entries)[-_MOST_ENTRIES // 4 :])
        for name in [each for each in self._entries if each not in used | newest]:
            del self._entries[name]
            self._contents.pop(name, None)
            self._resources.pop(name, None)


def put(layer: "LayerSpec") -> None:
    """Keep a layer, if this is a scheduler that unpacks a graph, and do nothing elsewhere."""
    module = sys.modules.get("distributed.scheduler")
    if module is None:
        return
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    for scheduler in list(module.Scheduler._instances):
        if getattr(scheduler.loop, "asyncio_loop", None) is running:
            _shelf_of(scheduler).add(layer)


def ask(name: str) -> bytes:
    """Return an entry of the shelf of the scheduler that this worker belongs to.

    Raises
    ------
    LookupError
        If there is no scheduler, or it does not have it any more.
    """
    found = None
    try:
        from distributed import get_worker
        from distributed.utils import sync

        worker = get_worker()
    except (ImportError, ValueError):
        worker = None
    if worker is not None:
        found = sync(worker.loop, getattr(worker.scheduler, _HANDLER), name=name)
    if found is None:
        raise LookupError(
            f"Nobody knows {name!r} any more: the lazy Dataset that it is part of is gone. Make "
            "it again with sweep.lazy()."
        )
    return bytes(found)


def _shelf_of(scheduler: Any) -> Shelf:
    if _NAME not in scheduler.extensions:
        shelf = Shelf(scheduler)
        scheduler.extensions[_NAME] = shelf
        scheduler.handlers[_HANDLER] = shelf.get
        scheduler.add_plugin(shelf, name=_NAME)
    found: Shelf = scheduler.extensions[_NAME]
    return found
