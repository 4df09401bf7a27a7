"""What other threads may ask of a running engine."""

import threading
from collections.abc import Callable

from toolkit.spaces.space import Space


class Requests:
    """Switches between a job and its engine: any thread may set them, the engine looks."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._kill = threading.Event()
        self._paused = threading.Event()
        self._retry = threading.Event()
        self._enders: list[Callable[[], None]] = []
        self._focus: Space | None = None
        self._latest_focus: Space | None = None

    @property
    def stop(self) -> bool:
        """Whether nothing more is to be handed out."""
        return self._stop.is_set()

    @property
    def kill(self) -> bool:
        """Whether what runs is to be ended too."""
        return self._kill.is_set()

    @property
    def paused(self) -> bool:
        """Whether nothing is to be handed out for now."""
        return self._paused.is_set() and not self.stop

    def ask_to_stop(self, *, now: bool = False) -> None:
        """Ask for the end: of handing out, and with ``now`` of what runs."""
        self._stop.set()
        if now:
            self._kill.set()
            for end in tuple(self._enders):
                end()

    def end_now_by(self, end: Callable[[], None]) -> None:
        """Have this called, in the thread that asks, when what runs is to be ended."""
        self._enders.append(end)

    def pause(self) -> None:
        """Ask to hand out nothing for now."""
        self._paused.set()

    def resume(self) -> None:
        """Ask to hand out again."""
        self._paused.clear()

    def retry(self) -> None:
        """Ask to run the failed runs again."""
        self._retry.set()

    def take_retry(self) -> bool:
        """Return whether that was asked for since the last look."""
        is_asked = self._retry.is_set()
        self._retry.clear()
        return is_asked

    def focus(self, wanted: Space) -> None:
        """Ask for some runs first."""
        self._focus = self._latest_focus = wanted

    def focus_again(self) -> None:
        """Ask the next stage for what the one before was asked for first."""
        self._focus = self._latest_focus

    def take_focus(self) -> Space | None:
        """Return what was asked for since the last look."""
        wanted, self._focus = self._focus, None
        return wanted
