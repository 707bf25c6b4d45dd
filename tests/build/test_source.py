from __future__ import annotations

import http.server
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from debtool.build import debian_source
from debtool.build.source import fetch_source, source_digest
from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, OutsideError
from debtool.model.stack import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server for ``tmp_path/www``, which must be filled by the test."""
    (tmp_path / "www").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "www"))  # type: ignore[arg-type]

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_an_archive_is_fetched_once_and_checked(server: str, tmp_path: Path) -> None:
    original = tmp_path / "www" / "one-1.0.tar.gz"
    original.write_bytes(b"contents")
    source = Source(url=f"{server}/one-1.0.tar.gz", sha256=sha256_of(original))
    fetched = fetch_source(source, tmp_path, tmp_path / "cache")
    assert fetched.name == original.name
    original.unlink()
    assert fetch_source(source, tmp_path, tmp_path / "cache") == fetched
    assert source_digest(source, fetched) == f"sha256:{source.sha256}"


def test_another_hash_is_refused_and_nothing_kept(server: str, tmp_path: Path) -> None:
    (tmp_path / "www" / "one.tar.gz").write_bytes(b"tampered")
    with pytest.raises(InputError, match="the stack says 1111"):
        fetch_source(Source(url=f"{server}/one.tar.gz", sha256="1" * 64), tmp_path, tmp_path / "cache")
    assert list((tmp_path / "cache" / "sources").iterdir()) == []


def test_a_missing_archive_is_an_outside_error(server: str, tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="404"):
        fetch_source(Source(url=f"{server}/none.tar.gz", sha256="1" * 64), tmp_path, tmp_path / "cache")


def test_a_path_is_relative_to_the_stack(tmp_path: Path) -> None:
    (tmp_path / "stack" / "src").mkdir(parents=True)
    (tmp_path / "stack" / "src" / "a.py").write_text("1")
    source = Source(path="src")
    folder = fetch_source(source, tmp_path / "stack", tmp_path / "cache")
    assert folder == tmp_path / "stack" / "src"
    before = source_digest(source, folder)
    (folder / "a.py").write_text("2")
    assert source_digest(source, folder) != before
    with pytest.raises(InputError, match="no such source"):
        fetch_source(Source(path="other"), tmp_path / "stack", tmp_path / "cache")


def test_a_commit_is_fetched_without_its_history(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    (repository / "a.py").write_text("1")
    subprocess.run([*git, "add", "a.py"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=one"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    source = Source(git=repository.as_uri(), commit=head)
    fetched = fetch_source(source, tmp_path, tmp_path / "cache")
    assert [path.name for path in fetched.iterdir()] == ["a.py"]
    assert source_digest(source, fetched) == f"git:{head}"
    with pytest.raises(OutsideError, match="cannot be fetched"):
        fetch_source(Source(git=repository.as_uri(), commit="0" * 40), tmp_path, tmp_path / "cache")


# The hash of Debian's own orig tarball of hello, a package of two small files that has not changed for years.
HELLO = "31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b"


@pytest.mark.root
def test_debians_orig_tarball_comes_through_apt(tmp_path: Path) -> None:
    source = Source(debian="hello", suite="bookworm", version="2.10", sha256=HELLO)
    fetched = fetch_source(source, tmp_path, tmp_path / "cache")
    assert fetched.name == "hello_2.10.orig.tar.gz"
    assert sha256_of(fetched) == HELLO


@pytest.mark.root
def test_a_version_that_the_suite_does_not_have(tmp_path: Path) -> None:
    source = Source(debian="hello", suite="bookworm", version="2.9", sha256=HELLO)
    with pytest.raises(InputError, match=r"bookworm has hello 2\.10-\S+, not 2\.9"):
        fetch_source(source, tmp_path, tmp_path / "cache")


def test_a_machine_without_a_debian_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ubuntu(_command: list[str], _folder: Path) -> str:
        return "Ubuntu\thttp://mirror.example/ubuntu/\n"

    monkeypatch.setattr(debian_source, "_apt", ubuntu)
    with pytest.raises(OutsideError, match="no Debian mirror") as caught:
        debian_source.fetch_orig("hello", "bookworm", "2.10", tmp_path)
    assert "{ url, sha256 }" in caught.value.issues[0].fix
