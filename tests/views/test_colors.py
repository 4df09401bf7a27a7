"""A state of runs has one color, wherever it is shown."""

import re
from importlib.resources import files

import pytest

from toolkit.markup import COLORS
from toolkit.run_status import Status
from toolkit.views.dashboard import panels
from toolkit.views.report.page import _STYLE
from toolkit.views.widget import still

FRONT = files("toolkit.views.widget") / "front"


@pytest.mark.parametrize("state", ["done", "failed", "stale", "blocked"])
def test_a_state_has_the_same_color_in_all_views(state: str) -> None:
    color = COLORS[state]
    assert panels.COLORS[state].lower() == color
    assert still._STATES[Status[state.upper()]] == color
    drawn = re.search(rf'\b{state}: "(#\w+)"', (FRONT / "picture.js").read_text())
    assert drawn is not None
    assert drawn[1] == color
    light, _, on_paper = re.findall(rf"--{state}:(#\w+)", _STYLE)
    assert light == on_paper == color
