"""Workers that died, told in a few lines however many they are."""

import logging

from toolkit.execution.death import Death

logger = logging.getLogger("toolkit")

_TOLD = 3


class Obituaries:
    """Tells of the first deaths of a stage, each in a line, and counts the others.

    The log of the store has each of them, and ``failures()`` what became of the runs.

    Parameters
    ----------
    stage
        Its name.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._count = 0

    def tell(self, death: Death) -> None:
        """Tell of a death, or keep it for the sum."""
        self._count += 1
        if self._count <= _TOLD:
            logger.warning(
                "A worker died, and what it had not finished of stage %r is run again: %s.",
                self._stage,
                death.describe().replace(" in this run", ""),
            )
        elif self._count == _TOLD + 1:
            logger.warning(
                "More workers die of stage %r. They are counted at its end; `toolkit log STORE` "
                "shows each.",
                self._stage,
            )

    def sum_up(self) -> None:
        """Tell how many workers died, where not each was told."""
        if self._count > _TOLD:
            logger.warning("%d workers died of stage %r.", self._count, self._stage)
        self._count = 0
