"""A folder served on this machine to a browser, which posts what it saw."""

import functools
import http.server
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Served(http.server.ThreadingHTTPServer):
    """Serve a folder; `posted` holds the bodies of what was posted."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        """Listen on a free port."""
        self.posted: queue.Queue[str] = queue.Queue()
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))

    @property
    def address(self) -> str:
        """Return the address of the folder."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.posted.put(self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8"))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Print nothing."""


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Yield the server of a folder."""
    with Served(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
