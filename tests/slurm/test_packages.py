"""What the SLURM of the tests needs is what `make test` installs."""

import re
from pathlib import Path

from tests.slurm.machine import PACKAGES


def test_make_installs_the_packages_that_slurm_needs() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    [installed] = re.findall(r"^DEBIAN := (.*)$", makefile, re.M)
    assert set(PACKAGES) <= set(installed.split())
