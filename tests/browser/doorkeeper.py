"""A proxy that lets nothing through: what is asked of other machines is refused and listed."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Doorkeeper:
    """Refuses every request that is handed to it, and remembers what was asked for.

    A browser hands a proxy all requests but those to the loopback interface: of pages, of their
    service workers and websockets, and its own.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []
        refused = self.refused

        class Refusal(socketserver.StreamRequestHandler):
            timeout = 10

            def handle(self) -> None:
                asked = self.rfile.readline(4096).decode("latin-1").strip()
                if not asked:
                    return  # a connection in advance, over which nothing was asked for
                refused.append(asked)
                while self.rfile.readline(4096).strip():
                    pass
                self.wfile.write(
                    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

        class Door(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Say nothing: the browser may hang up at any time."""

        self._door = Door(("127.0.0.1", 0), Refusal)

    @property
    def address(self) -> str:
        """Where it listens, as a browser wants it said."""
        return f"http://127.0.0.1:{self._door.server_address[1]}"

    @contextmanager
    def on_duty(self) -> Iterator["Doorkeeper"]:
        """Listen until the end of the block."""
        thread = threading.Thread(target=self._door.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._door.shutdown()
            thread.join()
            self._door.server_close()
