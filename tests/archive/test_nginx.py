"""The nginx configuration of docs/serving.md, in a real nginx, under a real apt."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.archive import Archive
    from tests.archive.conftest import Apt, MakeDeb

SUITE = "suite"
PAGE = Path(__file__).parents[2] / "docs/serving.md"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def port(archive: Archive, tmp_path: Path) -> Iterator[int]:
    port = free_port()
    found = re.search(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    server = found[1]
    for documented, here in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("listen [::]:80;", ""),
        ("root /srv/cheesegrater/public;", f"root {archive.public};"),
    ):
        assert documented in server
        server = server.replace(documented, here)
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"daemon off;\nmaster_process off;\npid {tmp_path}/nginx.pid;\nerror_log {tmp_path}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{server}}}\n"
    )
    process = subprocess.Popen(["nginx", "-c", configuration, "-e", tmp_path / "error.log"])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, (tmp_path / "error.log").read_text()
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(port: int, path: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status, dict(response.getheaders())
    finally:
        connection.close()


def test_apt_follows_publications_through_nginx(archive: Archive, make_deb: MakeDeb, apt: Apt, port: int) -> None:
    apt.add_source(archive.sources_stanza(SUITE, url=f"http://127.0.0.1:{port}"))
    for version in ("1+a~b-1", "2-1", "3-1"):
        archive.publish(SUITE, [make_deb("foo", version)])
        apt.update()
        assert apt.candidate("foo") == version
    assert apt.run("download", "foo=3-1").returncode == 0


def test_nginx_sends_types_and_caching(archive: Archive, make_deb: MakeDeb, port: int) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    by_hash = next((archive.public / "dists/suite/main/binary-amd64/by-hash/SHA256").iterdir()).name
    immutable = "public, max-age=31536000, immutable"
    for path, kind, caching in (
        ("/dists/suite/InRelease", "text/plain; charset=utf-8", "no-cache"),
        ("/dists/suite/Release.gpg", "application/octet-stream", "no-cache"),
        ("/dists/suite/main/binary-amd64/Packages.xz", "application/x-xz", "no-cache"),
        (f"/dists/suite/main/binary-amd64/by-hash/SHA256/{by_hash}", "application/octet-stream", immutable),
        ("/pool/main/f/foo/foo_1.0-1_amd64.deb", "application/vnd.debian.binary-package", immutable),
        ("/archive-keyring.asc", "application/pgp-keys", "no-cache"),
        ("/", "text/html", "no-cache"),
        ("/dists/suite/", "text/html", "no-cache"),
    ):
        status, headers = ask(port, path)
        assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, kind, caching), path


def test_nginx_hands_out_nothing_else(archive: Archive, make_deb: MakeDeb, port: int) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    (archive.public / ".incoming/secret").write_text("secret")
    for path in (
        "/.incoming/secret",
        "/../public-private/archive.json",
        "/%2e%2e/public-private/archive.json",
        "/pool/",
    ):
        assert ask(port, path)[0] in (400, 403, 404), path
