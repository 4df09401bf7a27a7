"""``python -m toolkit.demo``: the influenza outbreak, a sweep, the best fit, a picture."""

import os
import sys
from pathlib import Path

import click

import toolkit as tk
from toolkit.demo.fit import fit
from toolkit.demo.influenza import BOYS, FIRST_DAY, IN_BED, study
from toolkit.demo.picture import caption_of, draw

PICTURE = Path("flu.png")


def main(sweep: tk.Sweep | None = None, cluster: str = "local") -> None:
    """Run what the store in this folder lacks, print the best fit, draw it, say what to try next.

    Parameters
    ----------
    sweep
        The study, or a part of it.
    cluster
        Profile of the workers: a name or a file.
    """
    sweep = study() if sweep is None else sweep
    plan = sweep.explain()
    print(f"Influenza in an English boarding school, {len(IN_BED)} days from {FIRST_DAY}.")
    print(f"{BOYS} boys, at most {max(IN_BED)} of them in bed. Data: BMJ 1978;1:587.\n")
    print(f"SIR model, {plan}\n")
    is_complete = not plan.total.missing and not plan.total.stale
    if is_complete:
        print("All runs are stored, nothing to compute.\n")
    else:
        _run(sweep, cluster)
    caption = caption_of(PICTURE) if is_complete else None
    if caption is None:
        data = sweep.dataset()
        best = fit(data)
        caption = str(best)
        draw(data, best, PICTURE, caption=caption)
    print(f"{caption}\n\nPicture: {PICTURE}\nResults: {sweep.store}\n\n{_what_next()}")


def _run(sweep: tk.Sweep, profile: str) -> None:
    where = "on this machine" if profile == "local" else f"as {profile} describes them"
    print(f"Starting workers {where} ...", flush=True)
    with tk.cluster(profile) as cluster:
        print(f"Watch them on the Dask dashboard: {cluster.dashboard_link}", flush=True)
        sweep.run(cluster, rerun="stale")
    print()


def _what_next() -> str:
    folder = Path(sys.executable).parent
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    at = "" if str(folder) in os.environ.get("PATH", "").split(os.pathsep) else f"{folder}/"
    again = "make demo" if Path("toolkit/demo").is_dir() else f"{at}python -m toolkit.demo"
    return f"""Try next
  {again}   (computes nothing: what is stored is never run again)
  {at}toolkit status flu.zarr
  {at}python
  >>> import toolkit as tk
  >>> data = tk.open("flu.zarr")                                   # an xarray.Dataset
  >>> data.in_bed.sel(beta=1.66, gamma=0.44, infected=3).round()   # rates from the literature
  >>> from toolkit.demo.influenza import study
  >>> study().extend(infected=[9, 10]).run()                       # the new runs, no others"""


@click.command()
@click.option(
    "--cluster",
    metavar="PROFILE",
    default="local",
    show_default=True,
    help="Of its workers: a name, such as slurm-tiers, or a YAML file.",
)
def _command(cluster: str) -> None:
    """Sweep a model of an influenza outbreak, find the best fit, draw a picture."""
    try:
        main(cluster=cluster)
    except tk.InterruptedSweepError as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(3)
    except tk.ToolkitError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    _command()
