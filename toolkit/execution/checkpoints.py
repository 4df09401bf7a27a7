"""Folders in which runs keep their state between attempts: of this driver, and of later ones."""

import os
import re
import shutil
from collections.abc import Callable

from toolkit.execution.chances import CHECKPOINTS
from toolkit.stores.files.inside import check_folders

_NAME = re.compile(r"(.+)-([0-9]{1,18})-checkpoint")


def drop_checkpoints(store: str, stage: str, is_over: Callable[[int], bool]) -> None:
    """Remove the folders of these runs: done, or forgotten.

    A run removes its own when it succeeds, if that attempt has asked for it and nobody kills its
    worker just then.

    Parameters
    ----------
    store
        Folder of the store.
    stage
        Whose runs they are.
    is_over
        Says of the id of a run whether its folder is to go.
    """
    check_folders(store, f"{CHECKPOINTS}/x")
    folder = os.path.join(store, CHECKPOINTS)
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        found = _NAME.fullmatch(name)
        if found is not None and found[1] == stage and is_over(int(found[2])):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
