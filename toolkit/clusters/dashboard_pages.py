"""Which of the pages of Dask's dashboard a cluster serves: whoever reaches its port sees them.

Dask asks nobody who they are there. So what changes anything is left out, such as its API that
retires workers, its proxy to other ports and the page that measures the workers' disks when it is
opened; and what can show the values that runs were given: error messages, lines of code and logs.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import dask
from tornado.web import RequestHandler

SERVED = (
    "toolkit.clusters.dashboard_pages",
    "distributed.http.health",
    "distributed.http.scheduler.prometheus",
    "distributed.http.statics",
)
"""The modules whose ``routes`` Dask's scheduler serves."""

_LEFT_OUT = ("/exceptions", "/individual-exceptions", "/hardware")

_CLOSED = (
    "This page of Dask is switched off: it can show values that runs were given, and whoever "
    "reaches this port may look.\nWhat failed, and why:  toolkit errors STORE\n"
)


@contextlib.contextmanager
def closed_pages() -> Iterator[None]:
    """Have a scheduler that is made now serve nothing else."""
    with dask.config.set({"distributed.scheduler.http.routes": list(SERVED)}):
        try:
            from distributed.dashboard import scheduler as dashboard
        except ImportError:  # there is no bokeh, and no dashboard
            yield
            return
        everything = dashboard.applications
        dashboard.applications = {
            page: made for page, made in everything.items() if page not in _LEFT_OUT
        }
        try:
            yield
        finally:
            dashboard.applications = everything


class _Closed(RequestHandler):
    """Says why there is no such page, for the dashboard has a link to it."""

    def initialize(self, **_: Any) -> None:
        """Take what Dask gives to its pages."""

    def get(self, *_: str) -> None:
        """Answer."""
        self.set_status(404)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(_CLOSED)


class _Plots(RequestHandler):
    """The pages that JupyterLab's extension for Dask offers."""

    def get(self) -> None:
        """List them."""
        pages: set[str] = set()
        for each in getattr(self.application, "applications", ()):
            pages.update(getattr(each, "app_paths", ()))  # of Bokeh's, also what was added later
        self.finish(
            {
                page.strip("/").replace("-", " ").title(): page
                for page in sorted(pages)
                if page.startswith("/individual-") and page not in _LEFT_OUT
            }
        )


routes: list[tuple[str, type[RequestHandler], dict[str, Any]]] = [
    (r"individual-plots.json", _Plots, {}),
    (r"(?:info|exceptions|individual-exceptions|hardware)(?:/.*)?", _Closed, {}),
]
