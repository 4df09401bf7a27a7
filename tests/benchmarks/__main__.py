"""``make bench``: the toolkit beside Pool.map, joblib, pipefunc and xyzpy, in one go.

Prints a table for each case and writes the same as JSON into ``results/`` beside this file.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cases import CASES, Case
from duel import Rules, measure_case
from registry import CONTENDERS
from table import NOTES, markdown, table

STUDIES = {
    "frozen": ("frozen.py",),
    "graphs": ("graphs.py",),
    "torch": ("torch_batches.py",),
    "simulation": ("simulation.py",),
    "outbreaks": ("outbreaks.py",),
    "factorial": ("factorial.py",),
    "scale": ("scale.py",),
    "trees": ("trees.py",),
    "engine": ("engine.py",),
    "durability": ("durability.py",),
    "replay": ("replay.py",),
    "outlook": ("outlook.py",),
    "saving": ("torch_batches.py", "--saving"),
    "widget": ("widget.py",),
    "first-map": ("first_map.py",),
    "ask_tell": ("ask_tell.py",),
    "steady": ("steady.py",),
    "ode_fitting": ("ode_fitting.py",),
    "automatic": ("automatic.py",),
}
"""Comparisons of one feature each, with other competitors; each is a script of its own."""

PACKAGES = ("joblib", "pipefunc", "xyzpy", "dask", "numpy", "xarray", "zarr")


def main(arguments: list[str]) -> int:
    """Run the cases that are asked for; 1 where a contender failed, else 0."""
    options = _options(arguments)
    if options.markdown is not None:
        print(markdown(json.loads(options.markdown.read_text())))
        return 0
    # Ended kindly, it lets no stopped process stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rules = Rules(
        pairs=options.pairs,
        peer_pairs=options.peer_pairs,
        scale=options.scale,
        limit=options.limit,
        peers=None if options.peers is None else tuple(options.peers),
    )
    cases = [case for case in CASES if options.only is None or case.name in options.only]
    studies = [name for name in STUDIES if options.only is None or name in options.only]
    about = _about()
    print(", ".join(f"{name} {found}" for name, found in about.items()))
    print(NOTES, flush=True)
    measured: dict[str, list[dict[str, Any]]] = {}
    has_failed = False
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        for case in cases:
            rows = _measure(case, rules, Path(folder))
            has_failed |= any(row["problem"] for row in rows)
            measured[case.name] = rows
            path = _write(options.json, {"about": about, "rules": asdict(rules), **measured})
    if cases:
        print(f"\n{path}")
    for name in studies:
        print(f"\n{name}", flush=True)
        script, *more = STUDIES[name]
        ended = subprocess.run([sys.executable, Path(__file__).with_name(script), *more])
        has_failed |= ended.returncode != 0
    return int(has_failed)


def _measure(case: Case, rules: Rules, folder: Path) -> list[dict[str, Any]]:
    rows = []
    for row in measure_case(case, rules, folder / case.name):
        rows.append(row)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{case.name}: {row.contender:<40}\r")
    print(f"\n{table(case, rows)}", flush=True)
    return [asdict(row) for row in rows]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    names = [*(case.name for case in CASES), *STUDIES]
    parser.add_argument("--only", nargs="+", metavar="CASE", choices=names)
    parser.add_argument("--pairs", type=int, default=5, help="of the toolkit and Pool")
    parser.add_argument(
        "--peers",
        nargs="*",
        metavar="NAME",
        choices=[name for name in CONTENDERS if name not in ("pool", "toolkit")],
        help="which of the others take part; none where no name follows",
    )
    parser.add_argument("--peer-pairs", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies all sizes")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds until one gives up")
    parser.add_argument("--folder", type=Path, help="where stores are made, on the disk to test")
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument(
        "--markdown", type=Path, metavar="JSON", help="print earlier measurements as one table"
    )
    return parser.parse_args(arguments)


def _about() -> dict[str, str]:
    try:
        affinity = len(os.sched_getaffinity(0))
    except AttributeError:
        affinity = os.cpu_count() or 0
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "cores": str(affinity),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _write(path: Path | None, found: dict[str, Any]) -> Path:
    if path is None:
        path = Path(__file__).parent / "results" / f"{found['about']['date']}.json"
        path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1))
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
