"""The certificates of one cluster: made when it starts, removed when it closes."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from toolkit.errors import ClusterError

_FILES = {"ca.pem", "cert.pem", "key.pem"}
_NAME = re.compile(r"(?P<host>.+)-(?P<pid>[0-9]+)-[^-]+")


class Certificates:
    """Temporary certificates, by which scheduler, client and workers know each other.

    Parameters
    ----------
    folder
        That the nodes share. In it each cluster has a folder of its own, which nobody else can
        open; what a driver of this machine that was killed has left there is removed.

    Attributes
    ----------
    security
        Of the scheduler and the client: what it holds is in memory only.
    of_workers
        Names the files that workers read.
    folder
        Of this cluster, with ``ca.pem``, ``cert.pem`` and ``key.pem``.
    """

    def __init__(self, folder: str) -> None:
        from distributed.security import Security

        shared = Path(os.path.expandvars(os.path.expanduser(folder)))
        shared.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(shared)
        own = f"{socket.gethostname()}-{os.getpid()}-"
        self.folder = Path(tempfile.mkdtemp(prefix=own, dir=shared))
        self.security: Any = Security.temporary()
        held = self.security.get_tls_config_for_role("worker")
        try:
            # Their names go into a line of shell.
            self.of_workers: Any = Security(
                tls_ca_file=shlex.quote(self._write("ca", held["ca_file"])),
                tls_worker_cert=shlex.quote(self._write("cert", held["cert"])),
                tls_worker_key=shlex.quote(self._write("key", held["key"])),
                require_encryption=True,
            )
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the files. Twice does nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, text: str) -> str:
        path = self.folder / f"{name}.pem"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ClusterError(
                    f"{self.folder.parent}: files there cannot be kept from other users (they have "
                    f"mode {mode:o}), and certificates must be. Set shared_folder to a folder of "
                    "another file system that all nodes share."
                )
            file.write(text)
        return str(path)


def _clear(shared: Path) -> None:
    for entry in shared.iterdir():
        match = _NAME.fullmatch(entry.name)
        if match is None or match["host"] != socket.gethostname() or entry.is_symlink():
            continue
        with contextlib.suppress(OSError):
            is_over = entry.is_dir() and not os.path.exists(f"/proc/{match['pid']}")
            # Anything else is somebody's, whatever the folder is called.
            if is_over and {each.name for each in entry.iterdir()} <= _FILES:
                for name in _FILES:
                    (entry / name).unlink(missing_ok=True)
                entry.rmdir()
