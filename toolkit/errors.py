"""Errors that the toolkit raises. Each says what was wrong, what was found and what to do."""


class ToolkitError(Exception):
    """Every error that the toolkit raises derives from this one."""


class SpaceError(ToolkitError):
    """A parameter space is described wrongly."""


class StageError(ToolkitError):
    """A function cannot be a stage, or its arguments or outputs do not fit."""


class StoreError(ToolkitError):
    """A store cannot be read, written or mapped to the sweep."""


class SweepError(ToolkitError):
    """A sweep cannot be run as described."""


class ClusterError(ToolkitError):
    """A cluster or its profile does not work."""


class FrozenError(ToolkitError):
    """An object cannot be frozen, or a frozen input cannot be had."""


class FrozenMutatedError(FrozenError):
    """A run wrote to a frozen input, which other runs read."""


class SimulationError(ToolkitError):
    """A model, a network or a population cannot be simulated as described."""


class CommandError(ToolkitError):
    """A program did not do what was asked of it: it failed, or did not write its results.

    Parameters
    ----------
    message
        What happened.
    exit_code
        Its exit code, minus the number of the signal that killed it; None where it has none.
    stderr
        The last 8,000 characters of its standard error.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, stderr: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.stderr = stderr


class RunsFailedError(SweepError):
    """The sweep was stopped because of its failing runs; what is done is stored."""


class InterruptedSweepError(SweepError):
    """The sweep was stopped from outside before its last run; running it again resumes it."""
