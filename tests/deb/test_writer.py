from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import pytest
import zstandard

from debtool.deb import ar, writer
from debtool.deb.control import Control
from debtool.deb.reader import iter_data, read_deb
from debtool.deb.writer import Built, write_deb
from debtool.model.errors import InputError, OutsideError

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.deb.contents import Contents
    from debtool.deb.payload import Sink

DATE = 1_700_000_000
FIELDS = {
    "Package": "demo",
    "Version": "1.0-1",
    "Architecture": "all",
    "Maintainer": "A <a@example.org>",
    "Description": "demo of a package\n It has files.",
}


@dataclass
class Files:
    """A payload from a list: bytes are files, str are symlink targets, None are directories."""

    items: list[tuple[str, bytes | str | None]]
    modes: dict[str, int] = field(default_factory=dict)

    def emit(self, sink: Sink) -> None:
        for path, content in self.items:
            if isinstance(content, bytes):
                sink.add_file(path, io.BytesIO(content), len(content), mode=self.modes.get(path, 0o644))
            elif isinstance(content, str):
                sink.add_symlink(path, content)
            else:
                sink.add_directory(path, mode=self.modes.get(path, 0o755))


SAMPLE = Files(
    [
        ("/usr/lib/demo", None),
        ("/usr/lib/demo/run", b"#!/bin/sh\n"),
        ("/usr/lib/demo/large", bytes(range(256)) * 9000),
        ("/usr/lib/demo/" + "n" * 200, b"a name longer than a tar header has room for"),
        ("/usr/lib/demo/link", "run"),
        ("/etc/demo/demo.conf", b"a = 1\n"),
        ("/usr/lib/demo/empty", b""),
    ],
    modes={"/usr/lib/demo/run": 0o755},
)


def build(path: Path, payload: Files = SAMPLE, control: Control | None = None, **options: Any) -> Built:
    return write_deb(path, payload, lambda _: control or Control(FIELDS), **{"date": DATE, **options})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dpkg_deb(*arguments: str | Path) -> str:
    return subprocess.run(["dpkg-deb", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("compression", ["zstd", "xz"])
def test_dpkg_reads_what_is_written(tmp_path: Path, compression: str) -> None:
    built = build(tmp_path / "demo.deb", compression=compression)
    listing = dpkg_deb("--contents", built.path).splitlines()
    assert len(listing) == 12
    assert all(" root/root " in line and " 2023-11-14 22:13 " in line for line in listing)
    assert any(line.startswith("-rwxr-xr-x") and line.endswith("./usr/lib/demo/run") for line in listing)
    assert any(line.startswith("lrwxrwxrwx") and line.endswith("./usr/lib/demo/link -> run") for line in listing)
    out = tmp_path / "out"
    dpkg_deb("--raw-extract", built.path, out)
    for path, content in SAMPLE.items:
        if isinstance(content, bytes):
            assert (out / path[1:]).read_bytes() == content
    assert (out / "DEBIAN/conffiles").read_text() == "/etc/demo/demo.conf\n"
    sums = (out / "DEBIAN/md5sums").read_text().splitlines()
    assert sums == sorted(sums, key=lambda line: line.split("  ", 1)[1])
    assert f"{hashlib.md5(b'', usedforsecurity=False).hexdigest()}  usr/lib/demo/empty" in sums
    assert not any("demo.conf" in line for line in sums), "dpkg keeps the sums of conffiles itself"


def test_the_result_describes_the_file(tmp_path: Path) -> None:
    built = build(tmp_path / "demo.deb")
    data = built.path.read_bytes()
    assert (built.size, built.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert built.path.stat().st_size == built.size


def test_installed_size_is_what_dpkg_gencontrol_counts(tmp_path: Path) -> None:
    payload = Files([("/usr/a", b"x"), ("/usr/b", bytes(1024)), ("/usr/c", bytes(1025)), ("/usr/d", "a"), ("/e", b"")])
    built = build(tmp_path / "demo.deb", payload)
    # the root, /usr, 1 + 1 + 2 KiB of files, the link
    assert built.contents.installed_size == 7
    assert read_deb(built.path).control["Installed-Size"] == "7"


@pytest.mark.parametrize("compression", ["zstd", "xz"])
def test_equal_input_gives_equal_bytes_whatever_the_threads(tmp_path: Path, compression: str) -> None:
    noise = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(40_000))
    payload = Files([(f"/usr/{n}", noise[n:] + noise[:n] * 8) for n in range(0, 1_200_000, 400_000)])
    results = {
        build(tmp_path / f"{threads}.deb", payload, compression=compression, level=1, threads=threads).sha256
        for threads in (0, 1, 2, 4)
    }
    assert len(results) == 1


def test_the_members_are_gnu_tar_with_one_date(tmp_path: Path) -> None:
    built = build(tmp_path / "demo.deb")
    members = read_deb(built.path).members
    assert [member.name for member in members] == ["debian-binary", "control.tar.zst", "data.tar.zst"]
    raw = built.path.read_bytes()[members[2].offset :][: members[2].size]
    plain = zstandard.ZstdDecompressor().stream_reader(raw).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert {info.mtime for info in tar} == {DATE}
        assert not tar.pax_headers
        assert not any(info.pax_headers for info in tar)
    assert plain[257:265] == b"ustar  \0", "the magic of GNU tar"


def test_control_information_reaches_dpkg(tmp_path: Path) -> None:
    fields = {**FIELDS, "Depends": "a, b (>= 1)", "Recommends": "", "X-Own": "1"}
    control = Control(fields, scripts={"postinst": "#!/bin/sh\n"}, triggers="interest-await /usr/x\n", conffiles=())
    built = build(tmp_path / "demo.deb", control=control)
    info = read_deb(built.path)
    assert list(info.control) == [
        "Package",
        "Version",
        "Architecture",
        "Maintainer",
        "Installed-Size",
        "Depends",
        "X-Own",
        "Description",
    ]
    assert sorted(info.control_files) == ["control", "md5sums", "postinst", "triggers"]
    assert dpkg_deb("--field", built.path, "Description") == "demo of a package\n It has files.\n"
    assert "755" in dpkg_deb("--info", built.path) or "*  postinst" in dpkg_deb("--info", built.path)


@pytest.mark.parametrize(
    ("fields", "field"),
    [({**FIELDS, "Version": ""}, "Version"), ({**FIELDS, "Depends": "a\nEssential: yes"}, "Depends")],
)
def test_bad_control_fields_are_an_error_and_leave_nothing(tmp_path: Path, fields: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        build(tmp_path / "demo.deb", control=Control(fields))
    assert caught.value.issues[0].field == field
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "items",
    [
        [("relative", b"")],
        [("/usr/../etc/passwd", b"")],
        [("/usr//x", b"")],
        [("/usr/x/", b"")],
        [("/usr/a\nb", b"")],
        [("/usr/a\0b", b"")],
        [("/usr/\udcff", b"")],
        [("/usr/" + "x" * 247, b"")],
        [("/usr" + "/x" * 2000, b"")],
        [("/usr/x", b""), ("/usr/x", b"")],
        [("/usr/x", b""), ("/usr/x/y", b"")],
        [("/usr/x", "/usr/y"), ("/usr/x/y", b"")],
        [("/usr/x/y", b""), ("/usr/x", b"")],
        [("/usr/x", "a\nb")],
        [("/usr/x", None), ("/usr/x", None)],
    ],
)
def test_paths_that_no_package_can_have_are_refused(
    tmp_path: Path, items: list[tuple[str, bytes | str | None]]
) -> None:
    with pytest.raises(InputError) as caught:
        build(tmp_path / "demo.deb", Files(items))
    assert caught.value.issues[0].fix
    assert list(tmp_path.iterdir()) == []


def test_dpkg_unpacks_the_longest_name_that_is_accepted(tmp_path: Path) -> None:
    path = "/usr/" + "x" * 246
    built = build(tmp_path / "demo.deb", Files([(path, b"data")]))
    root = tmp_path / "root"
    (root / "var/lib/dpkg/updates").mkdir(parents=True)
    (root / "var/lib/dpkg/info").mkdir()
    (root / "var/lib/dpkg/status").touch()
    options = ["--force-not-root", f"--root={root}", "--log=/dev/null", "--force-unsafe-io"]
    subprocess.run(["dpkg", *options, "--unpack", built.path], check=True, capture_output=True)
    assert (root / path[1:]).read_bytes() == b"data"


@pytest.mark.parametrize(("announced", "real"), [(3, b"ab"), (3, b"abcd"), (0, b"a")])
def test_a_file_of_another_size_than_announced_is_refused(tmp_path: Path, announced: int, real: bytes) -> None:
    class Liar:
        def emit(self, sink: Sink) -> None:
            sink.add_file("/usr/x", io.BytesIO(real), announced)

    with pytest.raises(InputError, match="bytes"):
        write_deb(tmp_path / "demo.deb", Liar(), lambda _: Control(FIELDS), date=DATE)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_build_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    class Interrupted:
        def emit(self, sink: Sink) -> None:
            sink.add_file("/usr/x", io.BytesIO(b"x"), 1)
            raise KeyboardInterrupt

    old = build(tmp_path / "demo.deb")
    with pytest.raises(KeyboardInterrupt):
        write_deb(tmp_path / "demo.deb", Interrupted(), lambda _: Control(FIELDS), date=DATE)
    assert names(tmp_path) == ["demo.deb"]
    assert hashlib.sha256(old.path.read_bytes()).hexdigest() == old.sha256


def test_a_failure_while_the_package_is_put_together_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "demo.deb")
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_runs_are_cleared_and_those_of_live_ones_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".demo.deb.{dead.pid}.tmp").write_bytes(b"half")
    live = tmp_path / f".demo.deb.{os.getppid()}.tmp"
    live.write_bytes(b"half")
    other = tmp_path / f".other.deb.{dead.pid}.tmp"
    other.write_bytes(b"half")
    build(tmp_path / "demo.deb")
    assert names(tmp_path) == sorted([live.name, other.name, "demo.deb"])


KILLED = """
import io, os, signal, sys
from pathlib import Path
from debtool.deb import writer
from debtool.deb.control import Control
class Payload:
    def emit(self, sink):
        sink.add_file("/usr/x", io.BytesIO(bytes(10**7)), 10**7)
        if sys.argv[2] == "emit":
            os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "assemble":
    writer.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
writer.write_deb(Path(sys.argv[1]), Payload(), lambda _: Control({"Package": "demo", "Version": "1",
    "Architecture": "all", "Maintainer": "A <a@b.c>", "Description": "x y"}), date=0)
"""


@pytest.mark.parametrize("moment", ["emit", "assemble"])
def test_kill_9_leaves_no_file_under_the_final_name(tmp_path: Path, moment: str) -> None:
    target = tmp_path / "demo.deb"
    run = subprocess.run([sys.executable, "-c", KILLED, target, moment], check=False)
    assert run.returncode == -signal.SIGKILL
    assert not target.exists()
    build(target)
    assert names(tmp_path) == ["demo.deb"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    written = 0

    def filling(stream: IO[bytes], data: bytes) -> None:
        nonlocal written
        written += len(data)
        if written > 100:
            raise OSError(code, os.strerror(code))
        stream.write(data)

    monkeypatch.setattr(writer, "_write_all", filling)
    with pytest.raises(OutsideError) as caught:
        build(tmp_path / "demo.deb")
    assert caught.value.issues[0].file == tmp_path
    assert "space" in caught.value.issues[0].fix
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
set -e
mount -t tmpfs -o size=256k tmpfs "$2"
"$1" -c '
import os, sys
from pathlib import Path
from debtool.deb.control import Control
from debtool.deb.writer import write_deb
from debtool.model.errors import OutsideError
class Random:
    def read(self, size=-1):
        taken, self.left = min(size, self.left), self.left - min(size, self.left)
        return os.urandom(taken)
class Payload:
    def emit(self, sink):
        source = Random()
        source.left = 10**6
        sink.add_file("/usr/x", source, 10**6)
try:
    write_deb(Path(sys.argv[1], "demo.deb"), Payload(), None, date=0)
except OutsideError as error:
    print(error)
' "$2"
ls -A "$2"
"""


def test_a_disk_that_is_really_full_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    command: list[str | Path] = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        FULL_DISK,
        "sh",
        sys.executable,
        tmp_path,
    ]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert run.stdout.startswith(f"{tmp_path}: cannot write demo.deb: No space left on device")
    assert len(run.stdout.splitlines()) == 1, "nothing is left in the folder"


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutsideError) as caught:
        build(tmp_path / "missing" / "demo.deb")
    assert caught.value.issues[0].file == tmp_path / "missing"


def test_a_member_over_ars_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ar, "MEMBER_LIMIT", 100)
    with pytest.raises(InputError, match="grown over the 100 bytes"):
        build(tmp_path / "demo.deb")
    assert list(tmp_path.iterdir()) == []


def test_a_payload_is_read_once_in_pieces(tmp_path: Path) -> None:
    size = 30_000_000
    largest = 0

    class Endless:
        left = size

        def read(self, wanted: int = -1, /) -> bytes:
            nonlocal largest
            largest = max(largest, wanted)
            assert wanted >= 0, "a file must not be asked for all at once"
            data = bytes(min(wanted, self.left))
            self.left -= len(data)
            return data

    class Payload:
        def emit(self, sink: Sink) -> None:
            sink.add_file("/usr/x", Endless(), size)

    built = write_deb(tmp_path / "demo.deb", Payload(), lambda _: Control(FIELDS), date=DATE)
    assert largest <= 2**20
    assert built.contents.entries[-1].md5 == hashlib.md5(bytes(size), usedforsecurity=False).hexdigest()


def test_the_control_information_is_made_from_what_passed_through(tmp_path: Path) -> None:
    seen: list[Contents] = []

    def make(contents: Contents) -> Control:
        seen.append(contents)
        return Control(FIELDS)

    write_deb(tmp_path / "demo.deb", SAMPLE, make, date=DATE)
    (contents,) = seen
    paths = [(entry.path, entry.kind) for entry in contents.entries]
    assert paths[:4] == [
        ("/usr", "directory"),
        ("/usr/lib", "directory"),
        ("/usr/lib/demo", "directory"),
        ("/usr/lib/demo/run", "file"),
    ]
    assert contents.conffiles == ("/etc/demo/demo.conf",)


def test_the_reader_gives_back_what_was_written(tmp_path: Path) -> None:
    built = build(tmp_path / "demo.deb")
    found = {entry.path: (entry.kind, data.read() if data else entry.target) for entry, data in iter_data(built.path)}
    assert found["/"] == ("directory", "")
    for path, content in SAMPLE.items:
        kind = {bytes: "file", str: "symlink", type(None): "directory"}[type(content)]
        assert found[path] == (kind, content or ("" if kind == "directory" else content))
