"""A static web server for a bench: hands out the public directory and nothing else.

For real use any static web server will do; docs/serving.md has one's configuration.
"""

from __future__ import annotations

import html
import os
import shutil
import socket
import socketserver
import threading
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import quote, unquote, urlsplit

from debtool.archive.layout import PAGE
from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_TYPES = {
    ".deb": "application/vnd.debian.binary-package",
    ".gz": "application/gzip",
    ".xz": "application/x-xz",
    ".asc": "application/pgp-keys",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_TEXTS = ("InRelease", "Release")
_FOREVER = "public, max-age=31536000, immutable"
_IDLE_SECONDS = 30


class Server:
    """Serves one directory until it is closed; use it in a ``with`` block.

    It answers from threads of its own as soon as it is made.

    Args:
        root: The directory; symbolic links in it are followed as long as they stay in it.
        address: To listen on.
        port: To listen on; any free one if 0.
        listing: Whether directories are listed.

    Raises:
        OutsideError: The system does not let it listen there.
    """

    def __init__(self, root: Path, *, address: str = "127.0.0.1", port: int = 0, listing: bool = False) -> None:
        handler = type("_BoundHandler", (_Handler,), {"root": root.resolve(), "listing": listing})
        server = _HTTPServer6 if ":" in address else _HTTPServer
        try:
            self._server = server((address, port), handler)
        except OSError as error:
            issue = Issue(f"cannot listen on {address} port {port}: {error.strerror}", fix="choose another")
            raise OutsideError(issue) from error
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is, with a slash at the end."""
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}/" if ":" in str(host) else f"http://{host!s}:{port}/"

    def wait(self) -> None:
        """Block until it is closed (or the caller is interrupted)."""
        self._thread.join()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    # A client that keeps its connection open must not keep the server from being closed.
    block_on_close = False

    def server_bind(self) -> None:
        """Bind without asking the name service for the host's name, which a bench may not have."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: only the command line prints."""


class _HTTPServer6(_HTTPServer):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    root: Path
    listing: bool
    protocol_version = "HTTP/1.1"
    server_version = "debtool"
    sys_version = ""
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """Log nothing: only the command line prints."""

    def _answer(self, *, body: bool) -> None:
        path = self._resolve()
        if path is not None and path.is_dir() and self.listing:
            self._list(path, body=body)
            return
        if path is not None and self._names_folder:
            path /= PAGE
        try:
            # Opened once: what is sent is one generation's file even if the suite is switched meanwhile.
            stream = path.open("rb") if path is not None and path.is_file() else None
        except OSError:
            stream = None
        if stream is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with stream:
            self._send(stream, body=body)

    @property
    def _names_folder(self) -> bool:
        """Whether a folder is asked for by its name and a slash, from where a page's relative links lead."""
        return urlsplit(self.path).path.endswith("/")

    def _resolve(self) -> Path | None:
        """Return the path that is asked for; None if there is none, or it lies outside the root or is hidden."""
        parts = [part for part in unquote(urlsplit(self.path).path).split("/") if part]
        if any(part.startswith(".") or "\0" in part for part in parts):
            return None
        try:
            path = self.root.joinpath(*parts).resolve(strict=True)
        except OSError:
            return None
        return path if path.is_relative_to(self.root) else None

    def _send(self, stream: IO[bytes], *, body: bool) -> None:
        status = os.fstat(stream.fileno())
        name = PAGE if self._names_folder else unquote(urlsplit(self.path).path).rpartition("/")[2]
        modified = formatdate(int(status.st_mtime), usegmt=True)
        if self._has_it(int(status.st_mtime)):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("Last-Modified", modified)
            self.end_headers()
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _content_type(name))
        self.send_header("Content-Length", str(status.st_size))
        self.send_header("Last-Modified", modified)
        self.send_header("Cache-Control", _cache_control(self.path))
        self.end_headers()
        if body:
            shutil.copyfileobj(stream, self.wfile, 2**20)

    def _has_it(self, modified: int) -> bool:
        since = self.headers.get("If-Modified-Since")
        try:
            return since is not None and parsedate_to_datetime(since).timestamp() == modified
        except ValueError:
            return False

    def _list(self, directory: Path, *, body: bool) -> None:
        names = sorted(
            f"{path.name}/" if path.is_dir() else path.name
            for path in directory.iterdir()
            if not path.name.startswith(".")
        )
        items = "".join(f'<li><a href="{quote(name)}">{html.escape(name)}</a></li>\n' for name in names)
        page = f"<!DOCTYPE html>\n<ul>\n{items}</ul>\n".encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _TYPES[".html"])
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if body:
            self.wfile.write(page)


def _content_type(name: str) -> str:
    if name in _TEXTS:
        return "text/plain; charset=utf-8"
    return _TYPES.get(name[name.rfind(".") :] if "." in name else "", "application/octet-stream")


def _cache_control(path: str) -> str:
    """Return how long caches may keep a path: what is named by its contents for ever, the rest must be asked for."""
    return _FOREVER if path.startswith("/pool/") or "/by-hash/" in path else "no-cache"
