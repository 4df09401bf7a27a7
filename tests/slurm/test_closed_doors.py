"""What listens while a cluster of jobs runs, and who is let in there."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import dask
import psutil
import pytest

import toolkit as tk
from tests.clusters.test_dashboard_pages import SHORT, check_dashboard
from tests.slurm.machine import Slurm
from toolkit.clusters.settings import CONFIRMATION

pytestmark = pytest.mark.slurm

STRANGERS = ("plain", "other certificate", "no certificate")

# Whoever means harm does not check whose server it is.
KNOCK = """
import asyncio, json, os, ssl, sys
from distributed.comm import connect
from distributed.security import Security

def arguments(who):
    if who == "plain":
        return {}
    if who == "certified":
        files = asked["files"]
        own = Security(
            tls_ca_file=files + "/ca.pem", tls_client_cert=files + "/cert.pem",
            tls_client_key=files + "/key.pem", require_encryption=True,
        )
        return own.get_connection_args("client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if who == "other certificate":
        context = Security.temporary().get_connection_args("client")["ssl_context"]
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return {"ssl_context": context, "require_encryption": True}

async def knock(place, who):
    url = ("tcp://" if who == "plain" else "tls://") + place
    try:
        comm = await connect(url, timeout=60, **arguments(who))
        await comm.write({"op": "identity", "reply": True})
        answer = await comm.read()
        return [place, who, "type" in answer and answer["type"]]
    except Exception as error:
        return [place, who, "refused by " + type(error).__name__]

async def main():
    both = [(place, who) for place in asked["places"] for who in asked["who"]]
    tried = {asyncio.ensure_future(knock(*each)): each for each in both}
    done, silent = await asyncio.wait(tried, timeout=asked["seconds"])
    answers = [task.result() for task in done] + [[*tried[task], "silence"] for task in silent]
    print(json.dumps(answers), flush=True)
    os._exit(0)  # Dask waits for what was not answered

asked = json.loads(sys.argv[1])
asyncio.run(main())
"""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that nodes share, and how a program is started elsewhere on it."""

    interface: str | None
    address: str
    elsewhere: tuple[str, ...]


@pytest.fixture
def network() -> Iterator[Network]:
    """Make a second machine's network, where this user may; else take this machine's own."""
    name = f"tk{os.getpid()}"
    here, there, net = f"{name}a"[-15:], f"{name}b"[-15:], f"10.213.{os.getpid() % 256}"
    commands = (
        f"netns add {name}",
        f"link add {here} type veth peer name {there}",
        f"link set {there} netns {name}",
        f"addr add {net}.1/24 dev {here}",
        f"link set {here} up",
        f"-n {name} addr add {net}.2/24 dev {there}",
        f"-n {name} link set {there} up",
    )
    try:
        try:
            for each in commands:
                subprocess.run(["ip", *each.split()], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            yield Network(interface=None, address="", elsewhere=())
            return
        elsewhere = (shutil.which("ip") or "ip", "netns", "exec", name)
        yield Network(interface=here, address=f"{net}.1", elsewhere=elsewhere)
    finally:
        with contextlib.suppress(OSError):
            subprocess.run(["ip", "link", "del", here], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def site(folder: Path, network: Network, *lines: str) -> Path:
    path = folder / "site.yaml"
    tier = "small: {partition: short, memory: 600MB, maximum: 1, walltime: 5min, idle: 1h}"
    path.write_text(
        "\n".join(
            [
                "kind: slurm",
                *([f"interface: {network.interface}"] if network.interface else []),
                f"shared_folder: {folder}/certificates",
                'dashboard: "127.0.0.1:0"',
                f"tiers: {{{tier}}}",
                *lines,
                "",
            ]
        )
    )
    return path


def sockets(scheduler: str, before: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return where the driver and the workers of one scheduler listen, and who it is."""
    found = {place: "driver" for place in _listening(psutil.Process()) if place not in before}
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "toolkit.clusters.job_process" in line and scheduler in line:
            for member in (process, *process.children(recursive=True)):
                found |= dict.fromkeys(_listening(member), "job")
    return found


def _listening(process: psutil.Process) -> set[tuple[str, int]]:
    return {
        (each.laddr.ip, each.laddr.port)
        for each in process.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }


def knock(
    places: list[str],
    who: tuple[str, ...],
    *elsewhere: str,
    files: Path | None = None,
    seconds: float = 60.0,
) -> dict[tuple[str, str], str]:
    """Return what each place answers, within some seconds, to each who knocks from there."""
    asked = json.dumps({"places": places, "who": who, "files": str(files), "seconds": seconds})
    done = subprocess.run(
        [*elsewhere, sys.executable, "-c", KNOCK, asked],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return {(place, who): answer for place, who, answer in json.loads(done.stdout)}


def test_every_door_is_shut_to_who_has_no_certificate(
    tmp_path: Path, slurm: Slurm, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = _listening(psutil.Process())
    with dask.config.set(SHORT), tk.cluster(site(tmp_path, network)) as cluster:
        cluster.scale(1)
        cluster.client.wait_for_workers(1, timeout=100)
        scheduler = cluster.client.scheduler.address
        host = str(urlsplit(scheduler).hostname)
        assert not host.startswith("127.")
        assert network.address in ("", host)
        there = sockets(scheduler, before)
        inside = [f"{ip}:{port}" for ip, port in there if ip.startswith("127.")]
        outside = [f"{host}:{port}" for ip, port in there if f"{ip}:{port}" not in inside]
        assert f"{host}:{urlsplit(scheduler).port}" in outside
        assert sorted(there.values()).count("job") >= 3
        dashboard = urlsplit(cluster.dashboard_link).netloc
        assert dashboard in inside

        everybody = ("certified", *STRANGERS)
        answers = knock(outside, everybody, *network.elsewhere, files=cluster.certificates)
        let_in = sorted(answer for (_, who), answer in answers.items() if who == "certified")
        assert let_in == ["Nanny", "Scheduler", "Worker"]  # no door but these leads outside
        refused = {each: said for each, said in answers.items() if each[1] != "certified"}
        assert len(refused) == 3 * len(STRANGERS)
        assert {each: said for each, said in refused.items() if "refused" not in said} == {}
        answers = knock(inside, STRANGERS, seconds=10.0)
        # A page of the dashboard is no answer to Dask, which may wait for the rest of one.
        assert {said for said in answers.values() if "refused" not in said} <= {"silence"}
        if network.elsewhere:  # the dashboard is not there for other machines
            port = dashboard.rpartition(":")[2]
            [said] = knock(
                [f"{host}:{port}"], ("plain",), *network.elsewhere, seconds=10.0
            ).values()
            assert said in ("refused by OSError", "silence")

        check_dashboard(cluster, tmp_path / "t.zarr", pages=["/status", "/tasks"])


def test_in_the_clear_the_doors_are_open(
    tmp_path: Path, slurm: Slurm, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = site(tmp_path, network, "security: none", f'listen_in_the_clear: "{CONFIRMATION}"')
    with tk.cluster(path) as cluster:
        place = urlsplit(cluster.client.scheduler.address).netloc
        answers = knock([place], ("plain",), *network.elsewhere)
        assert answers == {(place, "plain"): "Scheduler"}
