"""Pictures of results, each with one call: ``tk.plot.map(data.peak)``.

All return matplotlib axes, to be changed at will, and take ``ax=`` to be drawn into a figure that
is there. Labels, long names and units are those of the data. Colors are safe for the color-blind,
and follow the style in use where that is dark.
"""

from toolkit.views.plots.corners import corner
from toolkit.views.plots.gantts import gantt
from toolkit.views.plots.histories import convergence, trace
from toolkit.views.plots.lines import line
from toolkit.views.plots.maps import map  # noqa: A004 - users write tk.plot.map
from toolkit.views.plots.offline import setup_offline
from toolkit.views.plots.pairings import pairs
from toolkit.views.plots.profiles import profile
from toolkit.views.plots.scalings import scaling

__all__ = [
    "convergence",
    "corner",
    "gantt",
    "line",
    "map",
    "pairs",
    "profile",
    "scaling",
    "setup_offline",
    "trace",
]
