"""Files of a store are plain files inside of it: no link leads out, no pipe is waited for."""

import errno
import os
import stat

from toolkit.errors import StoreError


def check_folders(root: str, key: str) -> None:
    """Refuse a key of which a folder is a link that leads out of the store.

    Parameters
    ----------
    root
        Folder of the store, which may be a link itself.
    key
        Path of a file in it, with slashes.

    Raises
    ------
    StoreError
        If a folder on the way lies elsewhere.
    """
    at = key.find("/")
    while at >= 0:
        folder = os.path.join(root, key[:at])
        if os.path.islink(folder) and not _is_inside(root, folder):
            raise leads_out(root, key[:at])
        at = key.find("/", at + 1)


def open_plain(path: str, flags: int) -> int:
    """Open a file that is plain and no link: the ``opener`` of what reads a journal folder.

    Raises
    ------
    OSError
        ``ELOOP`` for a link, ``EINVAL`` for a pipe, a device or a folder.
    """
    # Without O_NONBLOCK, opening a pipe waits for somebody to write into it.
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "no plain file", path)
    return fd


def open_inside(root: str, key: str) -> int:
    """Open a file of a store for reading; a link is followed where it stays inside.

    Raises
    ------
    StoreError
        If the key leads out of the store.
    OSError
        If the file cannot be opened, or is none.
    """
    check_folders(root, key)
    path = os.path.join(root, key)
    try:
        return open_plain(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    if not _is_inside(root, path):
        raise leads_out(root, key)
    return open_plain(os.path.realpath(path), os.O_RDONLY)


def leads_out(root: str, key: str) -> StoreError:
    """Return the error for a link in a store that leads elsewhere."""
    target = os.path.realpath(os.path.join(root, key))
    return StoreError(
        f"Store {root} is not read or written through the link {key}, which leads out of it (to "
        f"{target}). If you trust it, make a copy that holds the files themselves: "
        "cp -rL STORE COPY."
    )


def _is_inside(root: str, path: str) -> bool:
    real, top = os.path.realpath(path), os.path.realpath(root)
    return real == top or real.startswith(top.rstrip("/") + "/")
