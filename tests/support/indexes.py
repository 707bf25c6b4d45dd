"""A package index on this machine's loopback address, which asks who one is."""

from __future__ import annotations

import base64
import http.server
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from debtool.deb.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REALM = {"WWW-Authenticate": 'Basic realm="index"'}


@contextmanager
def served_index(folder: Path, user: str, password: str, *, sha256: str | None = None) -> Iterator[str]:
    """Serve the sdists of ``folder`` as a simple index (PEP 503) and yield its host and port.

    Links have the files' hashes, or ``sha256`` in their place. Files are said to be compressed on the way, as some
    servers say of every .gz. It serves every other host as well: it may be given as a proxy.
    """
    known = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != known:
                self._answer(401, b"", _REALM)
                return
            path = urlsplit(self.path).path
            if path.startswith("/simple/"):
                name = path.split("/")[2]
                links = [
                    f'<a href="/files/{one.name}#sha256={sha256 or sha256_of(one)}">{one.name}</a>'
                    for one in folder.glob(f"{name}-*")
                ]
                self._answer(200 if links else 404, "\n".join(links).encode(), {"Content-Type": "text/html"})
            else:
                file = folder / path.rpartition("/")[2]
                self._answer(200, file.read_bytes(), {"Content-Encoding": "gzip"})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{web.server_port}"
        finally:
            web.shutdown()
            thread.join()
