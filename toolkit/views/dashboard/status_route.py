"""The JSON beside the page: how the newest sweep stands, for scripts."""

import json
from typing import Any

from tornado.web import RequestHandler

from toolkit.views.dashboard.board import Board, without_values


class StatusRoute(RequestHandler):
    """Answers with the document of a snapshot; changes nothing.

    ``?sweep=`` names another than the newest, ``?key=`` opens the values of a closed dashboard.
    """

    def initialize(self, board: Board, **_: Any) -> None:
        """Take what the route was made with."""
        self._board = board

    def get(self) -> None:
        """Answer."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        posted = self._board.find(self.get_query_argument("sweep", ""))
        if posted is None:
            self.set_status(404)
            self.finish(json.dumps({"error": "no sweep has been posted to this scheduler yet"}))
            return
        key = self.get_query_argument("key", "") or self.get_cookie(self._board.cookie, "") or ""
        document = posted.document
        if not self._board.admits(key):
            document = without_values(document)
        self.finish(json.dumps(document))
