"""Whether the driver of a store was ever submitted: only then SLURM's queue is asked for it."""

from pathlib import Path

_MARK = "submitted"


def note_submission(store: Path) -> None:
    """Leave a mark in a store whose driver is about to be submitted.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    from toolkit.stores.files.storage import JOURNALS, Folder

    Folder(str(store)).put(f"{JOURNALS}/{_MARK}", b"")


def was_submitted(store: Path) -> bool:
    """Whether there is such a mark."""
    from toolkit.stores.files.storage import JOURNALS, Folder

    return _MARK in Folder(str(store)).names(JOURNALS)
