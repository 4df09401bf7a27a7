"""The report of a store: its sections in their order."""

import os
import time

from toolkit import __version__
from toolkit.views.report.drawing import Pictures
from toolkit.views.report.elements import code, text, time_of
from toolkit.views.report.failures import failures_section
from toolkit.views.report.maps import maps_section
from toolkit.views.report.material import Material, material_of
from toolkit.views.report.origins import commit_of, environment_section, provenance_section
from toolkit.views.report.page import page
from toolkit.views.report.spaces import space_section
from toolkit.views.report.standings import costs_section, status_section, summary
from toolkit.views.report.times import times_section
from toolkit.views.snapshot import Snapshot


def report_of_store(path: str | os.PathLike[str], snapshot: Snapshot) -> str:
    """Return an HTML document about a store: what made it, what was run, what came out.

    The document needs nothing but itself, and nothing of the store is unpickled.

    Parameters
    ----------
    path
        Folder of the store, which may be written at the same time.
    snapshot
        How it stands.

    Raises
    ------
    StoreError
        If there is no store at the path, or it cannot be read.
    """
    return report_of(material_of(path, snapshot))


def report_of(material: Material) -> str:
    """Return the document of what was read."""
    pictures = Pictures()
    sections = (
        status_section(material),
        space_section(material),
        maps_section(material, pictures),
        times_section(material, pictures),
        failures_section(material),
        costs_section(material),
        provenance_section(material),
        environment_section(material),
    )
    return page(material.name, _lead(material), summary(material), sections, _foot(material.path))


def _lead(material: Material) -> str:
    """Return what it is, who made it and when, in a line."""
    made_by = material.provenance
    names = ", ".join(stage.name for stage in material.stages)
    said = [f"A parameter sweep of {text(names, 200)}" if names else "A parameter sweep"]
    who = [text(made_by.get(key), 100) for key in ("user", "host") if made_by.get(key)]
    if who:
        said.append("by " + " on ".join(who))
    if made_by.get("created"):
        said.append(f"begun {time_of(made_by['created'])}")
    commit = commit_of(made_by)
    return ", ".join(said) + (f"<br>git commit {commit}" if commit else "")


def _foot(path: str) -> str:
    moment = time_of(time.time())
    return (
        f"Made {moment} by <code>toolkit report</code> {text(__version__)} from the store "
        f"{code(path, 500)}. This page needs no network and runs no script."
    )
