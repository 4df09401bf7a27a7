"""How many runs end in a second, lately."""

from collections import deque

_LONGEST = 60.0  # seconds that are looked back
_SHORTEST = 5.0
_APART = 0.5
_ENOUGH = 20  # runs tell a rate; where they end seldom, more time is looked back


class Rate:
    """Follows the number of runs that have ended."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._latest: tuple[float, int] | None = None

    def note(self, now: float, ended: int) -> None:
        """Take in how many have ended by now, in seconds of any clock that goes on."""
        if self._latest is not None and ended < self._latest[1]:  # some are run again
            self._seen.clear()
        self._latest = (now, ended)
        if not self._seen or now - self._seen[-1][0] >= _APART:
            self._seen.append(self._latest)
        while now - self._seen[0][0] > _LONGEST and len(self._seen) > 1:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """Runs that ended in a second, None where too little is known."""
        if self._latest is None:
            return None
        now, ended = self._latest
        for since, before in reversed(self._seen):
            if now - since >= _SHORTEST and ended - before >= _ENOUGH:
                return (ended - before) / (now - since)
        since, before = self._seen[0]
        return (ended - before) / (now - since) if ended > before and now > since else None
