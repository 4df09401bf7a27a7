"""What made a store: versions, code, machine and time, written once."""

import datetime
import functools
import getpass
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from toolkit import __version__

PACKAGES = ("numpy", "xarray", "zarr", "dask", "distributed", "scipy", "pandas", "torch")
_GIT_S = 5.0


def provenance(
    *,
    code: Mapping[str, object] | None = None,
    script: str | None = None,
    packages: Iterable[str] = PACKAGES,
    folder: str | None = None,
) -> dict[str, Any]:
    """Return where a store comes from, as plain values for its attributes.

    Parameters
    ----------
    code
        Hash of the code of each stage, and whatever else identifies it.
    script
        ``FILE.py:sweep``, where the sweep was loaded from one.
    packages
        Whose versions are noted, if they are installed.
    folder
        Folder whose git commit is noted; that of the script, else the current one.

    Returns
    -------
    dict
        ``created``, ``toolkit``, ``python``, ``versions``, ``host``, ``user``, ``platform``,
        ``argv``, ``git`` (``commit`` and ``dirty``; None outside of git), ``code``, ``script``.
    """
    if folder is None and script is not None:
        folder = os.path.dirname(os.path.abspath(script.rpartition(":")[0] or script))
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "toolkit": __version__,
        "python": platform.python_version(),
        "versions": versions(packages),
        "host": socket.gethostname(),
        "user": _user(),
        "platform": platform.platform(),
        "argv": [os.path.basename(sys.argv[0]), *sys.argv[1:]] if sys.argv else [],
        "git": git_state(folder or os.getcwd()),
        "code": dict(code or {}),
        "script": script,
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = ((name, _version(name)) for name in packages)
    return {name: version for name, version in found if version is not None}


@functools.cache
def _version(package: str) -> str | None:
    # 2 ms each to look up, and the same as long as this process lives.
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: str) -> dict[str, Any] | None:
    """Return commit and dirty flag of the repository of a folder, None where there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def _git(folder: str, *arguments: str) -> str | None:
    # Locks are not taken: somebody may be committing in this repository right now.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_S,
            check=True,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
