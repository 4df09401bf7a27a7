"""The plugin that puts the page of sweeps on the dashboard of a scheduler that runs already.

The only file of the views that meets Dask. The scheduler imports it when a driver registers it.
"""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from distributed import SchedulerPlugin
from tornado.routing import PathMatches, RuleRouter
from tornado.web import Application, RequestHandler

from toolkit.views.dashboard.board import HELLO, PAGE, POST, STATUS, WANTED, Board, View
from toolkit.views.dashboard.status_route import StatusRoute

NAME = "toolkit-sweeps"
_VALUES = "distributed.http.scheduler.info"  # Dask's pages that show errors, code and logs


class SweepPages(SchedulerPlugin):
    """Serves the page and the JSON until the scheduler ends, and takes what drivers post.

    Where Dask serves its own pages with errors and logs, ours show the values that runs were given
    to everybody too; elsewhere to who has the key.
    """

    name = NAME
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Add the page and the routes."""
        self.board = Board(is_open=_serves(scheduler.http_application, _VALUES))
        self.page: str | None = None
        self.why = "the scheduler has no dashboard, or no bokeh"
        dashboard = _dashboard(scheduler)
        prefix = dashboard.prefix if dashboard is not None else ""
        scheduler.http_application.add_handlers(
            ".*", [(prefix + STATUS, StatusRoute, {"board": self.board})]
        )
        try:
            if dashboard is not None:
                self.page = _add_page(scheduler, dashboard, self.board)
        except Exception as error:  # noqa: BLE001 - a page is not worth a scheduler
            self.why = f"the scheduler's dashboard refuses it: {type(error).__name__}: {error}"
        scheduler.handlers[POST] = self.post
        scheduler.handlers[WANTED] = self.wanted
        scheduler.handlers[HELLO] = self.hello

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Take note that a driver is gone."""
        del scheduler
        self.board.lose(client)

    async def post(self, **posted: Any) -> list[View]:
        """Take what a driver posts; return what somebody looks at."""
        return self.board.post(**posted)

    async def wanted(self, sweep: str) -> list[View]:
        """Return what somebody looks at."""
        return self.board.wanted(sweep)

    async def hello(self) -> dict[str, str | None]:
        """Return the path of the page, why there is none, and the key where it asks for one."""
        return {
            "page": self.page,
            "why": None if self.page else self.why,
            "key": None if self.board.is_open else self.board.key,
        }


def _dashboard(scheduler: Any) -> Any:
    """Return the application that serves Dask's own pages, None where there is none."""
    applications = scheduler.http_application.applications
    return next((each for each in applications if hasattr(each, "app_paths")), None)


def _serves(application: Application, module: str) -> bool:
    """Whether an application has a page that this module makes."""
    return any(
        target.__module__ == module
        for router in (application.default_router, application.wildcard_router)
        for target in _targets(router)
    )


def _targets(router: RuleRouter) -> list[type[RequestHandler]]:
    found = []
    for rule in router.rules:
        if isinstance(rule.target, RuleRouter):
            found += _targets(rule.target)
        elif isinstance(rule.matcher, PathMatches) and isinstance(rule.target, type):
            found.append(rule.target)
    return found


def _add_page(scheduler: Any, dashboard: Any, board: Board) -> str:
    """Serve the page; return its path."""
    from toolkit.views.dashboard.page import show_sweeps

    make = partial(show_sweeps, board)
    try:
        _join(dashboard, make, board)
    except (AttributeError, TypeError, KeyError):  # names of bokeh's own that may change
        _serve_beside(scheduler, make, dashboard.prefix)
    with contextlib.suppress(Exception):  # the menu "More...", where there is one
        _add_to_menu(scheduler)
    return f"{dashboard.prefix}{PAGE}"


def _join(dashboard: Any, make: Callable[[Any], None], board: Board) -> None:
    """Add the page to the dashboard's own application, which JupyterLab's extension reads."""
    from bokeh.application import Application as Pages
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.server.contexts import ApplicationContext
    from bokeh.server.urls import per_app_patterns
    from bokeh.server.views.doc_handler import DocHandler

    context = ApplicationContext(Pages(FunctionHandler(make)), url=PAGE)
    context._loop = dashboard._loop
    root = dashboard.prefix + PAGE
    routes = []
    for pattern, handler in ((each[0], each[1]) for each in per_app_patterns):
        options = {"application_context": context, "bokeh_websocket_path": f"{root}/ws"}
        kind = _keeping(handler, board) if handler is DocHandler else handler
        routes.append((root + pattern, kind, options))
    dashboard.add_handlers(".*", routes)
    dashboard._applications[PAGE] = context


def _keeping(handler: Any, board: Board) -> Any:
    """Return a handler that keeps the key in a cookie: the page opens without it from then on."""

    class KeepingHandler(handler):  # type: ignore[misc]
        async def get(self, *args: Any, **more: Any) -> None:
            key = self.get_query_argument("key", "")
            if key and not board.is_open and board.admits(key):
                self.set_cookie(board.cookie, key, httponly=True, samesite="Lax", path=None)
            self.set_header("Referrer-Policy", "no-referrer")
            await super().get(*args, **more)

    return KeepingHandler


def _serve_beside(scheduler: Any, make: Callable[[Any], None], prefix: str) -> None:
    """Serve the page from an application of its own, where the dashboard's takes no more."""
    from distributed.dashboard.core import BokehApplication
    from tornado.ioloop import IOLoop

    def show(server: Any, extra: Mapping[str, Any], document: Any) -> None:
        del server, extra
        make(document)

    beside = BokehApplication({PAGE: show}, scheduler, prefix=prefix)
    scheduler.http_application.add_application(beside)
    beside.initialize(IOLoop.current())
    beside.start()


def _add_to_menu(scheduler: Any) -> None:
    from distributed.dashboard.scheduler import template_variables

    plots = template_variables(scheduler)["plots"]
    if all(each["name"] != "Sweep" for each in plots):
        plots.append({"url": PAGE.strip("/"), "name": "Sweep"})
        plots.sort(key=lambda each: each["name"])
