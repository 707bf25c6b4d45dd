from __future__ import annotations

import gzip
import io
import os
import resource
import stat
import subprocess
import tarfile
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from debian.deb822 import Deb822

from debtool.archive import Archive, ArchiveConfig, PublishedPackage
from debtool.archive.release import next_date
from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.archive.conftest import MakeDeb

SUITE = "bookworm-stable"


def names(packages: tuple[PublishedPackage, ...]) -> list[str]:
    return [f"{package.name}={package.version}" for package in packages]


def rebuild(deb: Path, target: Path, fields: dict[str, str]) -> None:
    """Write ``deb`` again with other control fields, such as dpkg-deb would refuse."""
    control = Deb822(subprocess.check_output(["dpkg-deb", "--info", deb, "control"], text=True))
    control.update(fields)
    data = control.dump().encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("./control")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    work = target.parent / "members"
    work.mkdir()
    (work / "debian-binary").write_text("2.0\n")
    (work / "control.tar").write_bytes(packed.getvalue())
    (work / "data.tar").write_bytes(subprocess.check_output(["dpkg-deb", "--fsys-tarfile", deb]))
    subprocess.run(["ar", "qc", target, "debian-binary", "control.tar", "data.tar"], cwd=work, check=True)


def state(*directories: Path) -> dict[Path, tuple[int, int, int]]:
    found = {}
    for directory in directories:
        for path in directory.rglob("*"):
            status = path.lstat()
            found[path] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def test_a_publication_says_what_it_did(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo", fields={"Debtool-Input-Key": "abc"})
    done = archive.publish(SUITE, [foo, make_deb("bar", architecture="all")])

    assert (done.suite, done.generation, done.switched, done.unchanged) == (SUITE, 1, True, 0)
    assert names(done.added) == ["bar=1.0-1", "foo=1.0-1"]
    assert done.removed == ()
    assert done.bytes_written > foo.stat().st_size
    assert archive.published(SUITE) == done.added
    package = archive.published(SUITE)[1]
    assert package.input_key == "abc"
    assert package.filename == "pool/main/f/foo/foo_1.0-1_amd64.deb"
    assert (package.size, package.sha256) == (foo.stat().st_size, sha256_of(foo))
    assert archive.pool_path(package).read_bytes() == foo.read_bytes()
    assert archive.suites() == (SUITE,)
    assert archive.check(SUITE) == ()


def test_a_new_version_replaces_the_old_and_the_pool_keeps_both(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo"), make_deb("bar")])
    done = archive.publish(SUITE, [make_deb("foo", "1.1-1")])

    assert (names(done.added), names(done.removed), done.unchanged) == (["foo=1.1-1"], ["foo=1.0-1"], 1)
    assert names(archive.published(SUITE)) == ["bar=1.0-1", "foo=1.1-1"]
    assert names(archive.all_versions("foo")) == ["foo=1.0-1", "foo=1.1-1"]
    assert all(archive.pool_path(package).is_file() for package in archive.all_versions("foo"))


def test_a_whole_suite_has_what_is_handed_in_and_nothing_else(archive: Archive, make_deb: MakeDeb) -> None:
    foo, bar = make_deb("foo"), make_deb("bar", files={"/usr/share/shared": ""})
    archive.publish(SUITE, [foo, bar])
    done = archive.publish(SUITE, [foo, make_deb("baz", files={"/usr/share/shared": ""})], whole=True)

    assert (names(done.added), names(done.removed), done.unchanged) == (["baz=1.0-1"], ["bar=1.0-1"], 1)
    assert not archive.publish(SUITE, [foo]).switched
    assert archive.publish(SUITE, [foo], whole=True).switched


def test_a_suite_keeps_several_versions_where_asked(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    done = archive.publish(SUITE, [make_deb("foo", "1.1-1")], replace=False)

    assert (names(done.added), done.removed, done.unchanged) == (["foo=1.1-1"], (), 1)
    assert names(archive.published(SUITE)) == ["foo=1.0-1", "foo=1.1-1"]


def test_a_package_that_becomes_architecture_all_replaces_its_old_self(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    done = archive.publish(SUITE, [make_deb("foo", "1.1-1", architecture="all")])

    assert names(done.removed) == ["foo=1.0-1"]


def test_two_versions_of_one_package_at_once_are_refused(archive: Archive, make_deb: MakeDeb) -> None:
    with pytest.raises(InputError, match=r"foo 1\.0-1 .*foo 1\.1-1 .*only foo"):
        archive.publish(SUITE, [make_deb("foo"), make_deb("foo", "1.1-1")])
    assert archive.published(SUITE) == ()


def test_suites_share_the_pool_and_nothing_else(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    archive.publish("noble-canary", [foo])
    done = archive.publish(SUITE, [foo, make_deb("bar")])

    assert done.generation == 1
    assert names(archive.published("noble-canary")) == ["foo=1.0-1"]
    assert archive.suites() == (SUITE, "noble-canary")


def test_an_equal_publication_writes_nothing(archive: Archive, make_deb: MakeDeb) -> None:
    debs = [make_deb("foo"), make_deb("bar")]
    archive.publish(SUITE, debs)
    before = state(archive.public, archive._layout.private)

    for given in (debs, debs[:1], [archive.pool_path(package) for package in archive.published(SUITE)], []):
        done = archive.publish(SUITE, given)
        assert (done.switched, done.bytes_written, done.generation, done.unchanged) == (False, 0, 1, 2)

    assert state(archive.public, archive._layout.private) == before


def test_init_again_writes_nothing(archive: Archive, config: ArchiveConfig) -> None:
    before = state(archive.public, archive._layout.private)
    again = Archive.init(archive.public, config)

    changed = {path for path, was in state(archive.public, archive._layout.private).items() if before.get(path) != was}
    assert changed == {archive._layout.lock}  # whose holder is written there
    assert again.key == archive.key


def test_one_version_with_other_contents_is_refused_with_both_hashes(archive: Archive, make_deb: MakeDeb) -> None:
    first, second = make_deb("foo"), make_deb("foo", files={"/usr/share/foo/other": "other"})
    archive.publish(SUITE, [first])

    for attempt in (lambda: archive.publish("other-suite", [second]), lambda: archive.add([second])):
        with pytest.raises(InputError) as caught:
            attempt()
        assert sha256_of(first) in str(caught.value)
        assert sha256_of(second) in str(caught.value)
    assert archive.check(SUITE) == ()


def test_one_version_with_two_contents_in_one_call_is_refused(archive: Archive, make_deb: MakeDeb) -> None:
    with pytest.raises(InputError, match="SHA256"):
        archive.add([make_deb("foo"), make_deb("foo", files={})])
    assert not any((archive.public / "pool").iterdir())


def test_versions_that_differ_by_epoch_alone_are_refused(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo", "1.0-1")])
    with pytest.raises(InputError, match=r"would both be pool/main/f/foo/foo_1\.0-1_amd64\.deb"):
        archive.publish(SUITE, [make_deb("foo", "1:1.0-1")])


def test_all_bad_input_is_named_at_once(archive: Archive, make_deb: MakeDeb, tmp_path: Path) -> None:
    text = tmp_path / "text.deb"
    text.write_text("no package")
    with pytest.raises(InputError) as caught:
        archive.publish(
            SUITE,
            [
                tmp_path / "absent.deb",
                text,
                make_deb("foo", architecture="arm64"),
                make_deb("bar", fields={"Filename": "elsewhere"}),
            ],
        )
    assert len(caught.value.issues) == 4
    assert "amd64 and all, not arm64" in str(caught.value)
    assert archive.suites() == ()


@pytest.mark.parametrize(
    ("field", "value"), [("Package", "../../evil"), ("Source", "../evil (1)"), ("Version", "1/../../../evil")]
)
def test_a_name_that_leads_out_of_the_pool_is_refused(
    archive: Archive, make_deb: MakeDeb, tmp_path: Path, field: str, value: str
) -> None:
    deb = tmp_path / "evil.deb"
    rebuild(make_deb("foo"), deb, {field: value})
    with pytest.raises(InputError) as caught:
        archive.add([deb])
    assert [(issue.file, issue.field) for issue in caught.value.issues] == [(deb, field)]


def test_what_a_killed_writer_left_in_the_pool_is_replaced(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    left = archive.public / "pool/main/f/foo/foo_1.0-1_amd64.deb"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(foo.stat().st_size))
    archive.publish(SUITE, [foo])
    assert archive.check(SUITE) == ()


@pytest.mark.parametrize("suite", ["", "..", "a/b", "A", "-x", "a b", ".incoming"])
def test_a_name_that_cannot_be_a_suite_is_refused(archive: Archive, suite: str) -> None:
    for attempt in (archive.published, archive.check, archive.history, lambda name: archive.publish(name, [])):
        with pytest.raises(InputError, match="is no suite's name"):
            attempt(suite)


def test_packages_can_be_removed(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo"), make_deb("bar")])
    done = archive.remove(SUITE, ["foo"])

    assert (names(done.removed), done.added, done.unchanged, done.generation) == (["foo=1.0-1"], (), 1, 2)
    assert names(archive.published(SUITE)) == ["bar=1.0-1"]
    with pytest.raises(InputError, match="has no package foo"):
        archive.remove(SUITE, ["foo", "bar"])
    assert archive.remove(SUITE, ["bar"]).generation == 3
    assert archive.published(SUITE) == ()
    assert archive.check(SUITE) == ()


def test_added_packages_wait_in_the_pool(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    (package,) = archive.add([foo])
    before = state(archive.public)
    assert archive.add([foo]) == (package,)
    assert state(archive.public) == before
    assert archive.suites() == ()

    foo.unlink()
    assert archive.publish(SUITE, [archive.pool_path(package)]).added == (package,)


def test_history_tells_every_generation(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo"), make_deb("bar")])
    archive.publish(SUITE, [make_deb("foo", "1.1-1")])
    archive.remove(SUITE, ["bar"])
    third, second, first = archive.history(SUITE)

    assert [one.number for one in (first, second, third)] == [1, 2, 3]
    assert [one.packages for one in (first, second, third)] == [2, 2, 1]
    assert (names(second.added), names(second.removed)) == (["foo=1.1-1"], ["foo=1.0-1"])
    assert (third.added, names(third.removed)) == ((), ["bar=1.0-1"])
    assert first.date < second.date < third.date


def test_a_package_can_come_back(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    archive.publish(SUITE, [foo])
    archive.remove(SUITE, ["foo"])
    assert names(archive.publish(SUITE, [foo]).added) == ["foo=1.0-1"]
    assert [one.packages for one in archive.history(SUITE)] == [1, 0, 1]


def test_a_changed_description_is_published(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    archive.publish(SUITE, [foo])
    assert archive.publish(SUITE, [foo], description="Something else").switched
    release = archive.public / "dists" / SUITE / "Release"
    assert "Description: Something else\n" in release.read_text()

    archive.publish(SUITE, [make_deb("bar")])
    assert "Description: Something else\n" in release.read_text()
    assert not archive.publish(SUITE, [foo]).switched


def test_what_apt_pins_by_cannot_change_once_published(
    archive: Archive, config: ArchiveConfig, make_deb: MakeDeb
) -> None:
    renamed = config.model_copy(update={"origin": "Another"})
    Archive.init(archive.public, renamed)
    Archive.open(archive.public).publish(SUITE, [make_deb("foo")])
    with pytest.raises(InputError, match="apt asks its user") as caught:
        Archive.init(archive.public, config)
    assert caught.value.issues[0].field == "origin"
    with pytest.raises(InputError, match="key_uid"):
        Archive.init(archive.public, renamed.model_copy(update={"key_uid": "Someone else"}))
    assert Archive.open(archive.public).config == renamed


def test_an_ageing_release_is_signed_again(archive: Archive, config: ArchiveConfig, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    short = Archive.init(archive.public, config.model_copy(update={"valid_for": timedelta(days=7)}))
    short.publish(SUITE, [foo], date=datetime.now(UTC) - timedelta(days=3))
    assert not short.publish(SUITE, [foo]).switched
    assert short.check(SUITE) == ()

    short.publish("old-suite", [foo], date=datetime.now(UTC) - timedelta(days=8))
    assert "expired" in str(short.check("old-suite")[0])
    done = short.publish("old-suite", [foo])
    assert (done.switched, done.added, done.unchanged) == (True, (), 1)
    assert short.check("old-suite") == ()


def test_the_date_moves_forwards_and_never_far_ahead() -> None:
    now = int(time.time())
    assert next_date(None, None) in (now, now + 1)
    assert next_date(now - 100, datetime.fromtimestamp(now - 1000, UTC)) == now - 99
    with pytest.raises(OutsideError, match="in the future"):
        next_date(now + 3600, None)
    with pytest.raises(OutsideError, match="in the future"):
        next_date(None, datetime.fromtimestamp(now + 3600, UTC))


def test_quick_publications_wait_for_the_clock() -> None:
    date = next_date(int(time.time()) + 5, None)
    assert date <= time.time() + 5.01


def test_index_files_stay_reachable_by_hash_for_three_generations(archive: Archive, make_deb: MakeDeb) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    directory = archive.public / "dists" / SUITE / "main/binary-amd64"
    hashes = []
    for number in range(1, 7):
        archive.publish(SUITE, [make_deb("foo", f"{number}-1")], date=long_ago + timedelta(days=10 * number))
        hashes.append(sha256_of(directory / "Packages.xz"))
    present = {path.name for path in (directory / "by-hash/SHA256").iterdir()}
    assert [sha256 in present for sha256 in hashes] == [False, False, True, True, True, True]


def test_index_files_stay_reachable_by_hash_for_three_days(archive: Archive, make_deb: MakeDeb) -> None:
    directory = archive.public / "dists" / SUITE / "main/binary-amd64"
    hashes = set()
    for number in range(1, 7):
        archive.publish(SUITE, [make_deb("foo", f"{number}-1")], date=datetime.now(UTC) - timedelta(days=1))
        hashes.add(sha256_of(directory / "Packages.xz"))
    assert hashes <= {path.name for path in (directory / "by-hash/SHA256").iterdir()}


def test_contents_lists_every_file(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(
        SUITE,
        [
            make_deb("foo", files={"/usr/lib/shared": "1", "/usr/lib/foo": "1"}),
            make_deb("bar", files={"/usr/lib/shared": "1"}, fields={"Conflicts": "foo"}, architecture="all"),
        ],
    )
    text = gzip.decompress((archive.public / "dists" / SUITE / "main/Contents-amd64.gz").read_bytes()).decode()
    assert text == "usr/lib/foo python/foo\nusr/lib/shared python/bar,python/foo\n"


def test_copying_leaves_the_pool_independent_of_its_source(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    archive.publish(SUITE, [foo])
    with foo.open("r+b") as stream:
        stream.write(b"overwritten")
    assert archive.check(SUITE) == ()


def test_linking_takes_no_space(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    done = archive.publish(SUITE, [foo], link=True)
    assert archive.pool_path(done.added[0]).samefile(foo)


def test_a_lost_package_is_brought_back_by_the_same_build(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    lost = archive.pool_path(archive.publish(SUITE, [foo]).added[0])
    lost.unlink()
    done = archive.publish(SUITE, [foo])
    assert (done.switched, done.bytes_written) == (False, foo.stat().st_size)
    assert archive.check(SUITE) == ()


def test_modes_do_not_depend_on_the_umask(tmp_path: Path, config: ArchiveConfig, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    old = os.umask(0o077)
    try:
        archive = Archive.init(tmp_path / "public", config)
        archive.publish(SUITE, [foo])
    finally:
        os.umask(old)
    for path in archive.public.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o755 if path.is_dir() else 0o644), path


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow over 64 KiB: to a program, a disk that is full in mid-write."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_is_an_error_and_changes_nothing(
    archive: Archive, make_deb: MakeDeb, request: pytest.FixtureRequest
) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    big = make_deb("big", files={"/usr/share/big/file": "x" * 2**20})
    request.getfixturevalue("small_files")
    with pytest.raises(OutsideError, match="File too large"):
        archive.publish(SUITE, [big])
    assert names(archive.published(SUITE)) == ["foo=1.0-1"]
    assert archive.check(SUITE) == ()
    assert not list((archive.public / "pool").rglob("big*.deb"))
