from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from debtool.archive import Archive
from debtool.archive.page import is_sound
from debtool.archive.publisher import Publisher

if TYPE_CHECKING:
    from tests.archive.conftest import MakeDeb

SUITE = "noble-stable"


def page_of(archive: Archive, suite: str = SUITE) -> str:
    return (archive.public / "dists" / suite / "index.html").read_text()


def rows(page: str) -> list[list[str]]:
    """Return the text of each cell of the packages."""
    found = re.findall(r"<tr>(<td.*?)</tr>", page)
    return [[re.sub("<[^>]*>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in found]


def test_the_page_shows_every_package_with_its_audit(archive: Archive, make_deb: MakeDeb) -> None:
    debs = [
        make_deb("python3-torch", fields={"Debtool-Isa-Audit": "westmere dispatch-safe"}),
        make_deb("python3-numpy", fields={"Debtool-Isa-Audit": "westmere free emulated"}),
        make_deb("python3-llvm", fields={"Debtool-Isa-Audit": "westmere excepted emulated"}),
        make_deb("python3-yaml", fields={"Debtool-Isa-Audit": "westmere free"}),
        make_deb("python3-old"),
        make_deb("python3-pure", architecture="all"),
        make_deb("python3-odd", fields={"Debtool-Isa-Audit": "<b>x</b> &"}),
    ]
    archive.publish(SUITE, debs)
    page = page_of(archive)
    assert [(row[0], row[1], row[3], row[4]) for row in rows(page)] == [
        ("python3-llvm", "1.0-1", "excepted westmere, run emulated", "python3-llvm"),
        ("python3-numpy", "1.0-1", "free westmere, run emulated", "python3-numpy"),
        ("python3-odd", "1.0-1", "&lt;b&gt;x&lt;/b&gt; &amp;", "python3-odd"),
        ("python3-old", "1.0-1", "not audited", "python3-old"),
        ("python3-pure", "1.0-1", "no native code", "python3-pure"),
        ("python3-torch", "1.0-1", "dispatch-safe westmere", "python3-torch"),
        ("python3-yaml", "1.0-1", "free westmere", "python3-yaml"),
    ]
    assert "Generation 1 of 20" in page
    assert "7 packages" in page
    assert "badge unproven" not in page


def test_what_a_package_says_of_itself_is_text(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo", fields={"Description": "a <script>alert(1)</script>\x1b[1m"})])
    page = page_of(archive)
    assert "<script" not in page
    assert "a &lt;script&gt;alert(1)&lt;/script&gt;\\x1b[1m" in page


def test_links_lead_to_files(archive: Archive, make_deb: MakeDeb) -> None:
    debs = [make_deb("foo", "1.0+a~b-1")]
    archive.publish(SUITE, debs)
    archive.publish("noble-canary", debs)
    front = archive.public / "index.html"
    for page in (front, archive.public / "dists" / SUITE / "index.html"):
        links = re.findall(r'href="([^"]*)"', page.read_text())
        assert links
        for link in map(unquote, links):
            # As a browser does: from the address, not from where a symbolic link leads.
            assert Path(os.path.normpath(page.parent / link)).is_file(), link
    assert re.findall(r'href="dists/([^/]*)/', front.read_text()) == ["noble-canary", "noble-stable"]


def test_a_new_archive_has_a_page(archive: Archive) -> None:
    text = (archive.public / "index.html").read_text()
    assert "Nothing is published yet" in text
    assert archive.key.fingerprint in text.replace(" ", "")


def test_a_suite_with_a_keyring_package_says_how_to_follow_it_as_that_package_does(
    archive: Archive, make_deb: MakeDeb
) -> None:
    files = {
        "/usr/share/keyrings/grater-archive-keyring.gpg": "key",
        "/usr/share/keyrings/vendor.gpg": "key",
        "/etc/apt/sources.list.d/grater.sources": "x",
        "/etc/apt/sources.list.d/vendor.sources": "x",
    }
    archive.publish(SUITE, [make_deb("foo"), make_deb("grater-archive-keyring", architecture="all", files=files)])
    page = page_of(archive)
    assert "<code>/etc/apt/sources.list.d/grater.sources</code>" in page
    assert "Signed-By: /usr/share/keyrings/grater-archive-keyring.gpg" in page
    assert "curl -fsSo /usr/share/keyrings/grater-archive-keyring.gpg" in page
    assert "BEGIN PGP" not in page
    assert archive.key.fingerprint in page.replace(" ", "")


def test_a_suite_without_one_has_the_key_in_its_source(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    page = page_of(archive)
    assert "BEGIN PGP PUBLIC KEY BLOCK" in page
    assert f"<code>/etc/apt/sources.list.d/{SUITE}.sources</code>" in page
    assert "URIs: &lt;the address of this archive&gt;/" in page


def test_the_archive_s_address_is_told_where_it_is_known(tmp_path: Path, pristine: Path, make_deb: MakeDeb) -> None:
    shutil.copytree(pristine, tmp_path / "archive")
    public = tmp_path / "archive/public"
    config = Archive.open(public).config.model_copy(update={"url": "http://apt.example.net"})
    archive = Archive.init(public, config)
    archive.publish(SUITE, [make_deb("foo")])
    assert "URIs: http://apt.example.net/\n" in page_of(archive)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def test_nothing_changed_nothing_written(archive: Archive, make_deb: MakeDeb) -> None:
    debs = [make_deb("foo")]
    archive.publish(SUITE, debs)
    before = state(archive.public)
    assert archive.publish(SUITE, debs).bytes_written == 0
    Archive.init(archive.public, archive.config)
    assert state(archive.public) == before


def test_the_front_page_is_written_when_a_suite_comes_only(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    before = (archive.public / "index.html").stat().st_ino
    archive.publish(SUITE, [make_deb("foo", "2.0-1")])
    assert (archive.public / "index.html").stat().st_ino == before
    assert rows(page_of(archive))[0][1] == "2.0-1"


def test_a_publisher_that_dies_before_the_first_switch_leaves_nothing_wrong(
    archive: Archive, make_deb: MakeDeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.publish(SUITE, [make_deb("foo")])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "_switch", die)
        with pytest.raises(KeyboardInterrupt):
            archive.publish("noble-canary", [make_deb("bar")])
    assert archive.check(SUITE) == ()
    assert archive.suites() == (SUITE,)
    archive.publish(SUITE, [make_deb("foo", "2.0-1")])
    assert "noble-canary" not in (archive.public / "index.html").read_text()


def test_a_front_page_that_was_lost_is_written_again(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    (archive.public / "index.html").unlink()
    assert [issue.problem for issue in archive.check(SUITE)] == ["is missing"]
    archive.refresh(SUITE)
    assert archive.check(SUITE) == ()


def test_a_front_page_of_other_suites_is_found(archive: Archive, make_deb: MakeDeb) -> None:
    front = (archive.public / "index.html").read_bytes()
    archive.publish(SUITE, [make_deb("foo")])
    (archive.public / "index.html").write_bytes(front)
    assert [issue.problem for issue in archive.check(SUITE)] == [f"does not lead to {SUITE}"]


@pytest.mark.parametrize("damaged", [b"", b"x", b"<!-- -->", b"<!-- SHA-256 of the lines above: 00 -->\n"])
def test_only_a_sealed_page_is_sound(damaged: bytes) -> None:
    assert not is_sound(damaged)


def test_two_hundred_packages_make_a_small_page(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    one = len(page_of(archive))
    archive.publish(SUITE, [make_deb(f"bar{number}") for number in range(200)])
    assert (len(page_of(archive)) - one) / 200 < 600
