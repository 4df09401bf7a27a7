"""Frozen inputs for workers without the driver's folder: fetched over the Dask connection.

A worker asks the scheduler for a piece, the scheduler passes the question on to the client, and the
answer back to the worker: no port is opened besides those that Dask has, TLS and firewalls apply as
they do to all else, and at most one piece a machine is on its way. Pieces pass the scheduler as
they are, without being unpacked.
"""

import asyncio
import itertools
import logging
import os
import uuid
from collections.abc import Iterable
from typing import Any

from distributed import Client, WorkerPlugin
from distributed.protocol.serialize import to_serialize

from toolkit.errors import FrozenError
from toolkit.execution.guests import mark
from toolkit.inputs import held
from toolkit.inputs.frozen import Frozen

logger = logging.getLogger("toolkit")

PIECE = 1 << 23
"""Bytes of a piece."""

_EXTENSION = "toolkit-frozen"
_ASK, _ANSWER = "toolkit_frozen_ask", "toolkit_frozen_answer"
_PATIENCE = 120.0


class FrozenPlugin(WorkerPlugin):
    """Tells every worker, present, late or restarted, where to get frozen inputs. Holds no data."""

    def __init__(self, inputs: Iterable[Frozen], topic: str) -> None:
        self.name = topic
        self.inputs = tuple(inputs)
        self.topic = topic

    def setup(self, worker: Any) -> None:
        """Have inputs fetched through this worker where its machine lacks them."""
        loop = worker.loop.asyncio_loop

        def fetch(token: str, nbytes: int, descriptor: int) -> None:
            for offset in range(0, nbytes, PIECE):
                length = min(PIECE, nbytes - offset)
                asked = _ask(worker, self.topic, token, offset, length)
                piece = asyncio.run_coroutine_threadsafe(asked, loop).result(2 * _PATIENCE)
                os.pwrite(descriptor, piece, offset)

        self._fetch = fetch
        for each in self.inputs:
            held.add_fetcher(each.token, fetch)

    def teardown(self, worker: Any) -> None:
        """Let the inputs go."""
        del worker
        for each in self.inputs:
            held.remove_fetcher(each.token, self._fetch)
        self.inputs = ()

    def __reduce__(self) -> Any:
        return type(self), (self.inputs, self.topic)


class FrozenServer:
    """Answers for a client: reads pieces of the inputs of one sweep.

    Attributes
    ----------
    served
        Bytes sent so far.
    """

    def __init__(self, client: Client, inputs: Iterable[Frozen], sweep: str) -> None:
        self.client = client
        self.inputs = tuple(inputs)
        self.topic = mark(f"toolkit-frozen-{uuid.uuid4().hex[:12]}", sweep)
        self.served = 0
        self._tokens = frozenset(each.token for each in self.inputs)
        self._answers: set[asyncio.Task[None]] = set()
        client.run_on_scheduler(_install)
        client.subscribe_topic(self.topic, self._asked)

    def plugin(self) -> FrozenPlugin:
        """Return what tells the workers."""
        return FrozenPlugin(self.inputs, self.topic)

    def close(self) -> None:
        """Answer no more."""
        self.client.unsubscribe_topic(self.topic)
        self.inputs = ()  # the client keeps the handler, and must not keep these

    def _asked(self, event: tuple[float, dict[str, Any]]) -> None:
        # In a task of its own: the client reads nothing else while a handler runs.
        task = asyncio.ensure_future(self._answer(**event[1]))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, number: int, token: str, offset: int, length: int) -> None:
        answer: dict[str, Any]
        try:
            if token not in self._tokens:
                raise FrozenError(f"{token} is not an input of this sweep")
            piece = await asyncio.to_thread(held.read, token, offset, length)
            self.served += len(piece)
            answer = {"piece": to_serialize(piece)}
        except (FrozenError, OSError) as error:
            answer = {"problem": str(error)}
        try:
            await getattr(self.client.scheduler, _ANSWER)(number=number, **answer)
        except OSError as error:
            logger.warning("a piece of a frozen input could not be sent: %s", error)


async def _ask(worker: Any, topic: str, token: str, offset: int, length: int) -> Any:
    """Return a piece, as the worker gets it from the client.

    Raises
    ------
    FrozenError
        If the client does not have it, or does not answer.
    """
    found = await getattr(worker.scheduler, _ASK)(
        topic=topic, token=token, offset=offset, length=length
    )
    if "problem" in found:
        raise FrozenError(found["problem"])
    piece = found["piece"]
    if len(piece) != length:
        raise FrozenError(f"{len(piece):,} bytes came where {length:,} were asked for")
    return piece


class _Exchange:
    """On the scheduler: questions of workers that wait for a client's answer."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.numbers = itertools.count()
        scheduler.handlers[_ASK] = self.ask
        scheduler.handlers[_ANSWER] = self.answer

    async def ask(self, topic: str, token: str, offset: int, length: int) -> dict[str, Any]:
        number = next(self.numbers)
        answered = asyncio.get_running_loop().create_future()
        self.waiting[number] = answered
        try:
            self.scheduler.log_event(
                topic, {"number": number, "token": token, "offset": offset, "length": length}
            )
            return await asyncio.wait_for(answered, _PATIENCE)
        except TimeoutError:
            return {"problem": f"the driver did not answer within {_PATIENCE:.0f} s"}
        finally:
            del self.waiting[number]

    async def answer(self, number: int, **found: Any) -> None:
        answered = self.waiting.get(number)
        if answered is not None and not answered.done():
            answered.set_result(found)


def _install(dask_scheduler: Any = None) -> None:
    if _EXTENSION not in dask_scheduler.extensions:
        dask_scheduler.extensions[_EXTENSION] = _Exchange(dask_scheduler)
