"""The archive as a real apt sees it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from debtool.archive import Archive, serve
from debtool.archive.serve import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.archive.conftest import Apt, MakeDeb

SUITE = "bookworm-stable"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths that are asked for, as they are."""
    asked: list[str] = []

    def log_request(self: serve._Handler, code: object = "-", size: object = "-") -> None:
        del size
        asked.append(f"{int(code)} {self.path}" if isinstance(code, int) else self.path)

    monkeypatch.setattr(serve._Handler, "log_request", log_request)
    return asked


@pytest.fixture
def url(archive: Archive) -> Iterator[str]:
    with Server(archive.public) as server:
        yield server.url


def test_update_and_download_over_http_by_hash(
    archive: Archive, make_deb: MakeDeb, apt: Apt, url: str, requests: list[str]
) -> None:
    foo, bar = make_deb("foo", "1.0+local~rc1-1"), make_deb("bar", architecture="all")
    archive.publish(SUITE, [foo, bar])
    apt.add_source(archive.sources_stanza(SUITE, url=url))
    apt.update()

    assert apt.candidate("foo") == "1.0+local~rc1-1"
    assert apt.candidate("bar") == "1.0-1"
    fetched = [request for request in requests if request.startswith("200 ")]
    assert len(fetched) == 2, requests
    assert fetched[0] == f"200 /dists/{SUITE}/InRelease"
    assert fetched[1].startswith(f"200 /dists/{SUITE}/main/binary-amd64/by-hash/SHA256/")
    assert not [request for request in requests if request.startswith("404 ")]

    done = apt.run("download", "foo", "bar")
    assert done.returncode == 0, done.stdout
    assert (apt.root / "bar_1.0-1_all.deb").read_bytes() == bar.read_bytes()


def test_update_from_a_file_url_with_a_keyring(archive: Archive, make_deb: MakeDeb, apt: Apt) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    keyring = PurePosixPath(archive.public / "archive-keyring.gpg")
    apt.add_source(archive.sources_stanza(SUITE, url=archive.public.as_uri(), keyring=keyring))
    apt.update()
    assert apt.candidate("foo") == "1.0-1"


def test_apt_sees_each_of_two_quick_publications(archive: Archive, make_deb: MakeDeb, apt: Apt, url: str) -> None:
    archive.publish(SUITE, [make_deb("foo", "1-1")])
    apt.add_source(archive.sources_stanza(SUITE, url=url))
    apt.update()
    for version in ("2-1", "3-1"):
        archive.publish(SUITE, [make_deb("foo", version)])
        apt.update()
        assert apt.candidate("foo") == version


def test_contents_can_be_fetched_by_apt(archive: Archive, make_deb: MakeDeb, apt: Apt, url: str) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    apt.add_source(archive.sources_stanza(SUITE, url=url))
    with (apt.root / "apt.conf").open("a") as stream:
        stream.write(
            'Acquire::IndexTargets::deb::Contents-deb { MetaKey "$(COMPONENT)/Contents-$(ARCHITECTURE)"; '
            'ShortDescription "Contents-$(ARCHITECTURE)"; Description "Contents"; };\n'
        )
    apt.update()
    (fetched,) = (apt.root / "var/lib/apt/lists").glob("*Contents-amd64*")
    assert fetched.stat().st_size > 0


def test_without_the_key_apt_refuses(archive: Archive, make_deb: MakeDeb, apt: Apt, url: str, tmp_path: Path) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    apt.add_source(archive.sources_stanza(SUITE, url=url, keyring=PurePosixPath("/usr/share/keyrings/absent.gpg")))
    assert "NO_PUBKEY" in apt.refused_update()
    other = Archive.init(tmp_path / "other", archive.config)
    apt.add_source(other.sources_stanza(SUITE, url=url))
    assert f"NO_PUBKEY {archive.key.fingerprint[-16:]}" in apt.refused_update()
    assert apt.candidate("foo") is None


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_tampered_packages_are_refused(archive: Archive, make_deb: MakeDeb, apt: Apt, url: str, scheme: str) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    directory = archive.public / "dists" / SUITE / "main/binary-amd64"
    for path in (*directory.glob("Packages.*"), *directory.glob("by-hash/SHA256/*")):
        path.write_bytes(path.read_bytes() + b"\0")
    apt.add_source(archive.sources_stanza(SUITE, url=url if scheme == "http" else archive.public.as_uri()))
    said = apt.refused_update()
    assert "Hash Sum mismatch" in said or "unexpected size" in said
    assert apt.candidate("foo") is None


def test_a_tampered_release_is_refused(archive: Archive, make_deb: MakeDeb, apt: Apt, url: str) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    inrelease = archive.public / "dists" / SUITE / "InRelease"
    inrelease.write_text(inrelease.read_text().replace("Test Label", "Best Label"))
    apt.add_source(archive.sources_stanza(SUITE, url=url))
    assert "BADSIG" in apt.refused_update()


def test_a_tampered_package_is_refused(archive: Archive, make_deb: MakeDeb, apt: Apt, url: str) -> None:
    (package,) = archive.publish(SUITE, [make_deb("foo")]).added
    apt.add_source(archive.sources_stanza(SUITE, url=url))
    apt.update()
    path = archive.pool_path(package)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    done = apt.run("download", "foo")
    assert done.returncode != 0
    assert "Hash Sum mismatch" in done.stdout


def test_an_expired_release_is_refused(archive: Archive, make_deb: MakeDeb, apt: Apt) -> None:
    short = Archive.init(archive.public, archive.config.model_copy(update={"valid_for": timedelta(days=1)}))
    short.publish(SUITE, [make_deb("foo")], date=datetime.now(UTC) - timedelta(days=2))
    apt.add_source(short.sources_stanza(SUITE, url=short.public.as_uri()))
    assert "is expired" in apt.refused_update()
    short.refresh(SUITE)
    apt.update()


def test_apt_never_meets_half_a_publication(archive: Archive, make_deb: MakeDeb, apt: Apt, url: str) -> None:
    debs = [make_deb("foo", f"{number}-1") for number in range(2)]
    yesterday = datetime.now(UTC) - timedelta(days=1)
    archive.publish(SUITE, debs[:1], date=yesterday)
    apt.add_source(archive.sources_stanza(SUITE, url=url))
    done = threading.Event()
    published = 0

    def publish() -> None:
        nonlocal published
        while not done.is_set():
            published += 1
            archive.publish(SUITE, [debs[published % 2]], date=yesterday)

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        for _ in range(8):
            apt.update()
    finally:
        done.set()
        publisher.join()
    assert published > 8
