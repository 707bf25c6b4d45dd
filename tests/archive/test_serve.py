from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

from debtool.archive.serve import Server
from debtool.model.errors import OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.archive import Archive
    from tests.archive.conftest import MakeDeb

SUITE = "suite"


@pytest.fixture
def server(archive: Archive, make_deb: MakeDeb) -> Iterator[Server]:
    archive.publish(SUITE, [make_deb("foo", "1.0+a~b-1")])
    with Server(archive.public) as server:
        yield server


def ask(
    server: Server, path: str, *, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    host, port = server.url.removeprefix("http://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("/dists/suite/InRelease", "text/plain; charset=utf-8", "no-cache"),
        ("/dists/suite/Release", "text/plain; charset=utf-8", "no-cache"),
        ("/dists/suite/main/binary-amd64/Packages.xz", "application/x-xz", "no-cache"),
        ("/dists/suite/main/Contents-amd64.gz", "application/gzip", "no-cache"),
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/dists/suite/", "text/html; charset=utf-8", "no-cache"),
        ("/dists/suite/index.html", "text/html; charset=utf-8", "no-cache"),
        ("/archive-keyring.asc", "application/pgp-keys", "no-cache"),
        ("/archive-keyring.gpg", "application/octet-stream", "no-cache"),
        (
            "/pool/main/f/foo/foo_1.0%2ba~b-1_amd64.deb",
            "application/vnd.debian.binary-package",
            "public, max-age=31536000, immutable",
        ),
    ],
)
def test_files_come_with_type_and_caching(archive: Archive, server: Server, path: str, kind: str, caching: str) -> None:
    status, headers, body = ask(server, path)
    assert status == 200
    assert (headers["Content-Type"], headers["Cache-Control"]) == (kind, caching)
    assert "Content-Encoding" not in headers
    file = archive.public / path[1:].replace("%2b", "+")
    file = file / "index.html" if path.endswith("/") else file
    assert body == file.read_bytes()
    status, headers, body = ask(server, path, method="HEAD")
    assert (status, int(headers["Content-Length"]), body) == (
        200,
        file.stat().st_size,
        b"",
    )


def test_by_hash_is_for_ever(archive: Archive, server: Server) -> None:
    by_hash = next((archive.public / "dists/suite/main/binary-amd64/by-hash/SHA256").iterdir())
    status, headers, _ = ask(server, f"/dists/suite/main/binary-amd64/by-hash/SHA256/{by_hash.name}")
    assert (status, headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")


@pytest.mark.parametrize(
    "path",
    [
        "/../public-private/archive.json",
        "/%2e%2e/public-private/archive.json",
        "/dists/../../public-private/archive.json",
        "/dists/%2e%2e%2f%2e%2e%2fpublic-private/archive.json",
        "//etc/passwd",
        "/outside",
        "/.incoming/",
        "/.hidden",
        "/%00",
        "/" + "x" * 300,
        "/absent",
        "/dists/",
        "/dists/suite",
        "/dists/suite/main/",
        "/pool",
    ],
)
def test_nothing_else_is_handed_out(archive: Archive, server: Server, path: str) -> None:
    (archive.public / ".hidden").write_text("hidden")
    (archive.public / "outside").symlink_to(archive._layout.config)
    assert ask(server, path)[0] == 404


def test_directories_are_listed_where_asked(archive: Archive, server: Server) -> None:
    del server
    (archive.public / ".hidden").write_text("hidden")
    with Server(archive.public, listing=True) as listing:
        status, headers, body = ask(listing, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b'<a href="pool/">' in body
    assert b"hidden" not in body


def test_an_unchanged_file_is_not_sent_again(archive: Archive, server: Server, make_deb: MakeDeb) -> None:
    path = "/dists/suite/InRelease"
    seen = ask(server, path)[1]["Last-Modified"]
    assert ask(server, path, headers={"If-Modified-Since": seen})[0] == 304
    assert ask(server, path, headers={"If-Modified-Since": "nonsense"})[0] == 200
    archive.publish(SUITE, [make_deb("bar")])  # within the same second
    assert ask(server, path, headers={"If-Modified-Since": seen})[0] == 200


def test_other_methods_are_refused(server: Server) -> None:
    assert ask(server, "/", method="PUT")[0] == 501


def test_a_port_in_use_is_an_error(archive: Archive, server: Server) -> None:
    port = int(server.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(OutsideError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
        Server(archive.public, port=port)


def test_it_serves_ipv6_too(archive: Archive) -> None:
    with Server(archive.public, address="::1") as server:
        assert server.url.startswith("http://[::1]:")


def test_a_closed_server_frees_its_port(archive: Archive) -> None:
    with Server(archive.public) as first:
        port = int(first.url.rstrip("/").rpartition(":")[2])
    with Server(archive.public, port=port) as second:
        assert second.url == f"http://127.0.0.1:{port}/"
