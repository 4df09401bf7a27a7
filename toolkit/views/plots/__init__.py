"""Pictures of results on matplotlib, which is loaded when the first one is drawn."""

from toolkit.views.plots import plot

__all__ = ["plot"]
