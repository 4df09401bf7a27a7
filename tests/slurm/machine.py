"""A SLURM of this machine's own: munged, slurmctld and a slurmd for each pretended node.

It needs Debian's packages and nothing else: no service, no control groups, no database. All that it
writes lies in one folder, and all its ports are on 127.0.0.1. Used as a fixture by the tests (see
``conftest.py``), and by hand with the scripts ``up`` and ``down`` beside it.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
NEEDED = ("munged", "slurmctld", "slurmd", "sinfo", "sbatch")
DEFAULT_FOLDER = Path(f"/tmp/toolkit-slurm-{os.getuid()}")

_MARK = "made-by-the-tests-of-toolkit"
_LONGEST_FOLDER = 80  # the path of a socket has room for 108 characters
_START_S, _STOP_S = 30.0, 10.0

# Sizes are what SLURM books: all nodes share the cores and the memory that are really there.
_NODES = {
    "small1": "CPUs=2 RealMemory=2000 Feature=small",
    "small2": "CPUs=2 RealMemory=2000 Feature=small",
    "large1": "CPUs=4 RealMemory=8000 Feature=large",
    "gpu1": "CPUs=2 RealMemory=4000 Gres=gpu:fake:2 Feature=gpu",
}
_PARTITIONS = (
    "short Nodes=small1,small2 Default=YES DefaultTime=1 MaxTime=5 MaxMemPerNode=2000",
    "long Nodes=small1,small2,large1 DefaultTime=60 MaxTime=1-00:00:00",
    "highmem Nodes=large1 DefaultTime=60 MaxTime=1-00:00:00",
    "gpu Nodes=gpu1 DefaultTime=60 MaxTime=1-00:00:00",
)

_CONFIGURATION = """\
ClusterName={mark}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
MailProg=/bin/true
# No control groups: a container may have none to give, and the host's are left alone.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
# Nodes may be larger than the machine.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
DefMemPerCPU=500
# Memory is looked at every second; a job over its own is killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
# A job over its time has this many seconds between SIGTERM and SIGKILL.
KillWait=5
OverTimeLimit=0
InactiveLimit=0
WaitTime=0
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=2,batch_sched_delay=0
# scontrol shows a job that has ended for an hour: sacct would need a database.
MinJobAge=3600
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
JobRequeue=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/ended_jobs.txt
"""


class SlurmError(Exception):
    """The SLURM of this machine does not start, or a command of it fails."""


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """One SLURM, known by its folder.

    Parameters
    ----------
    folder
        With a short path; made where it is not there.
    nodes
        What ``slurm.conf`` says of each node, by name.
    partitions
        Of these nodes, as in ``slurm.conf``.
    """

    folder: Path = DEFAULT_FOLDER
    nodes: Mapping[str, str] = field(default_factory=lambda: dict(_NODES))
    partitions: Sequence[str] = _PARTITIONS

    @property
    def configuration(self) -> Path:
        """The file that ``SLURM_CONF`` names."""
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What SLURM's commands have to find in the environment."""
        return {"SLURM_CONF": str(self.configuration)}

    def run(self, *command: str, timeout: float = 60.0, **options: str) -> str:
        """Run one of SLURM's commands, and return what it wrote.

        Raises
        ------
        SlurmError
            With its words, if it fails.
        """
        done = subprocess.run(
            command,
            env=_environment() | self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,  # type: ignore[call-overload]
        )
        if done.returncode:
            raise SlurmError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        return str(done.stdout)

    def up(self) -> None:
        """Start what does not run yet, and wait until all nodes can take jobs.

        Raises
        ------
        SlurmError
            If a program is missing, or a daemon does not start: with the end of its log.
        """
        self._check_machine()
        for name in ("munge", "state", "run", "log", "dev", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for node in self.nodes:
            (self.folder / "spool" / node).mkdir(exist_ok=True)
        if not self.configuration.exists():
            self._configure()
        self._start_daemons()
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            if time.monotonic() > deadline or not self._pid("slurmctld", "slurmctld"):
                raise SlurmError(f"SLURM did not start.\n{self._ends_of_logs()}")
            time.sleep(0.2)

    def down(self) -> None:
        """End the jobs and the daemons, and remove the folder. Twice does nothing."""
        text = self.configuration.read_text() if self.configuration.exists() else ""
        if f"ClusterName={_MARK}\n" not in text:
            return
        with contextlib.suppress(SlurmError, subprocess.TimeoutExpired, OSError):
            self.end_jobs()
        for node in self.nodes:
            self._stop("slurmd", node)
        self._stop("slurmctld", "slurmctld")
        self._stop("munged", "munged")
        shutil.rmtree(self.folder, ignore_errors=True)

    def end_jobs(self) -> None:
        """Cancel all jobs, and wait until they are gone."""
        self.run("scancel", "--full", "--user", str(os.getuid()), timeout=_STOP_S)
        deadline = time.monotonic() + _STOP_S
        while self.run("squeue", "-h", timeout=_STOP_S) and time.monotonic() < deadline:
            time.sleep(0.2)

    def _check_machine(self) -> None:
        missing = [name for name in NEEDED if shutil.which(name, path=_path()) is None]
        if missing:
            raise SlurmError(f"{', '.join(missing)} not found. Debian: apt install {_debian()}")
        if len(str(self.folder)) > _LONGEST_FOLDER:
            raise SlurmError(f"{self.folder} is too long a path for the sockets in it.")
        with contextlib.suppress(FileNotFoundError):
            if self.folder.stat().st_uid != os.getuid():
                raise SlurmError(f"{self.folder} belongs to somebody else.")
        try:
            socket.gethostbyname(socket.gethostname())
        except OSError:
            raise SlurmError(
                f"{socket.gethostname()} is not known to this machine, which SLURM needs: add "
                f"'127.0.0.1 {socket.gethostname()}' to /etc/hosts."
            ) from None

    def _configure(self) -> None:
        import pwd

        ports = _free_ports(1 + len(self.nodes))
        host = socket.gethostname().partition(".")[0]
        user = pwd.getpwuid(os.getuid()).pw_name
        lines = [
            _CONFIGURATION.format(
                mark=_MARK, host=host, port=ports[0], user=user, folder=self.folder
            )
        ]
        for (node, size), port in zip(self.nodes.items(), ports[1:], strict=True):
            place = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
            lines.append(f"NodeName={node} {place} {size} State=UNKNOWN\n")
        lines += [f"PartitionName={partition} State=UP\n" for partition in self.partitions]
        for number in range(2):
            _make_gpu(self.folder / "dev" / f"gpu{number}")
        gpus = f"Name=gpu Type=fake File={self.folder}/dev/gpu[0-1]"
        having = [node for node, size in self.nodes.items() if "Gres=gpu" in size]
        (self.folder / "gres.conf").write_text(
            "".join(["AutoDetect=off\n", *(f"NodeName={node} {gpus}\n" for node in having)])
        )
        (self.folder / "cgroup.conf").write_text("# none\n")
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        (self.folder / "env").write_text(f"export SLURM_CONF='{self.configuration}'\n")
        self.configuration.write_text("".join(lines))

    def _start_daemons(self) -> None:
        munge, log = self.folder / "munge", self.folder / "log"
        conf = ("-f", str(self.configuration))
        daemons = [
            (
                ("munged", "munged"),
                (
                    *("munged", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket"),
                    *(f"--pid-file={self.folder}/run/munged.pid", f"--seed-file={munge}/seed"),
                    f"--log-file={log}/munged.log",
                ),
            ),
            (("slurmctld", "slurmctld"), ("slurmctld", *conf)),
            *((("slurmd", node), ("slurmd", *conf, "-N", node)) for node in self.nodes),
        ]
        for (program, name), command in daemons:
            if not self._pid(program, name):
                try:
                    self.run(*command)  # it puts itself into the background
                except SlurmError as error:
                    raise SlurmError(f"{error}\n{self._ends_of_logs()}") from None

    def _is_ready(self) -> bool:
        try:
            told = self.run("sinfo", "-h", "-N", "-o", "%N %t", timeout=5.0)
        except (SlurmError, subprocess.TimeoutExpired):
            return False
        ready = re.findall(r"^(\S+) (?:idle|mix|alloc)$", told, re.M)
        return set(ready) == set(self.nodes)

    def _pid(self, program: str, name: str) -> int | None:
        """Return the process of a daemon, None where that number is another program's by now."""
        try:
            pid = int((self.folder / "run" / f"{name}.pid").read_text())
            running = Path(f"/proc/{pid}/comm").read_text().strip()
        except (OSError, ValueError):
            return None
        return pid if running == program else None

    def _stop(self, program: str, name: str) -> None:
        pid = self._pid(program, name)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_S
            while self._pid_lives(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
            if self._pid_lives(pid):
                os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _pid_lives(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"

    def _ends_of_logs(self) -> str:
        ends = []
        for log in sorted((self.folder / "log").glob("*.log")):
            last = log.read_text(errors="replace").splitlines()[-5:]
            ends.append(f"{log}:\n  " + "\n  ".join(last))
        return "\n".join(ends)


def is_installed() -> bool:
    """Whether all programs are there."""
    return all(shutil.which(name, path=_path()) for name in NEEDED)


def _debian() -> str:
    return " ".join(PACKAGES)


def _path() -> str:
    """Return the search path with the folders of daemons, which users often lack."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    return kept | {"PATH": _path()}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


def _make_gpu(path: Path) -> None:
    """Make a device that nobody opens: SLURM gives it away as a GPU, with CUDA_VISIBLE_DEVICES.

    Only root can; a plain file in its place can be asked for, and sets no variable.
    """
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError:
        path.touch()
