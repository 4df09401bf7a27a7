"""The counts that a sweep shows while it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a sweep is. Counts are of the runs that it asks for.

    Attributes
    ----------
    done, failed, blocked, pending, total
        Runs by state; ``pending`` includes those in progress.
    elapsed
        Seconds since the sweep was started.
    seconds_left
        Estimated seconds until it is done, None where nothing can be said yet.
    stage
        Name of the stage.
    """

    done: int
    failed: int
    blocked: int
    pending: int
    total: int
    elapsed: float
    seconds_left: float | None
    stage: str

    def __str__(self) -> str:
        """One line, as a log shows it."""
        parts = [f"{self.stage}: {self.done:,} of {self.total:,} done"]
        parts += [
            f"{count:,} {name}"
            for name, count in (("failed", self.failed), ("blocked", self.blocked))
            if count
        ]
        parts.append(f"{_duration(self.elapsed)} elapsed")
        if self.pending and self.seconds_left is not None:
            parts.append(f"about {_duration(self.seconds_left)} left")
        return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
