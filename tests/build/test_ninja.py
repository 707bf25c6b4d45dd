"""What ninja prints and leaves: recorded from ninja 1.11 and 1.13 with gcc 12, clang 14 and binutils 2.40."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.build.journal import Edge
from debtool.build.ninja import Failure, failures, output_of, parse_status, read_log, remove_torn, why
from debtool.build.processes import below, end

if TYPE_CHECKING:
    from collections.abc import Callable

    from debtool.build.ninja import Why


@pytest.mark.parametrize(
    ("line", "edge"),
    [
        ("[1/1402 0.300] Building C object a.c.o", Edge(1, 1402, "Building C object a.c.o")),
        ("[12/345] Linking CXX shared library lib/a.so", Edge(12, 345, "Linking CXX shared library lib/a.so")),
        ("  [12/345] Compiling C object a.p/b.c.o", Edge(12, 345, "Compiling C object a.p/b.c.o")),
        ("[ 3/10] Generating a.h", Edge(3, 10, "Generating a.h")),
        ("[0/1] Re-running CMake...", Edge(0, 1, "Re-running CMake...")),
        ("[2/9 40% 1:02:03] x", Edge(2, 9, "x")),
        ("\x1b[32m[2/9]\x1b[0m x", Edge(2, 9, "x")),
        (
            "\r[0/2] Building CXX object bad.o\x1b[K\r[1/2] Linking CXX executable u\x1b[K\r\n",
            Edge(1, 2, "Linking CXX executable u"),
        ),
        ("[2/2] x\r", Edge(2, 2, "x")),
        ("[ 12%] Building CXX object a.o", None),
        ("[100%] Built target a", None),
        ("[3/2] more than there are", None),
        ("[0/0] nothing", None),
        ("[1/2]", None),
        ("[1/2] ", None),
        ("a.cpp:3:4: note: [1/2] in a message", None),
        ("[INFO] [1/2] x", None),
        ("", None),
    ],
)
def test_status_lines(line: str, edge: Edge | None) -> None:
    assert parse_status(line) == edge


@given(st.text(max_size=200))
def test_no_text_breaks_the_readers(text: str) -> None:
    edge = parse_status(text)
    assert edge is None or 0 <= edge.done <= edge.total
    assert all(failure.outputs for failure in failures(text.splitlines()))
    assert output_of(text) in text


@given(st.integers(0, 9999), st.integers(1, 9999), st.sampled_from(["", " 12.345", " 3%"]), st.booleans())
def test_what_ninja_counts_is_read(done: int, more: int, extra: str, indented: bool) -> None:  # noqa: FBT001 -- given
    total = done + more
    line = f"{'    ' * indented}[{done}/{total}{extra}] Building CXX object a.o"
    assert parse_status(line) == Edge(done, total, "Building CXX object a.o")


@pytest.mark.parametrize(
    ("what", "output"),
    [
        ("Building CXX object c10/CMakeFiles/c10.dir/a.cpp.o", "c10/CMakeFiles/c10.dir/a.cpp.o"),
        ("Building HIPCC object a/torch_hip_generated_b.hip.o", "a/torch_hip_generated_b.hip.o"),
        ("Linking CXX shared library lib/libc10.so", "lib/libc10.so"),
        ("Linking C static library lib/libclog.a", "lib/libclog.a"),
        ("Linking CXX shared module functorch/functorch.so", "functorch/functorch.so"),
        ("Linking target libmain.so", "libmain.so"),
        ("Linking static target core/libcore.a", "core/libcore.a"),
        ("Compiling Cython source a/b.pyx", "Cython source a/b.pyx"),
        ("Creating library symlink lib/libc10.so.2.6 lib/libc10.so", "lib/libc10.so"),
        ("Generating /a/__init__.pyi, /a/b.pyi", "/a/__init__.pyi"),
        ("Generating core/config.h with a custom command", "core/config.h"),
        ("Running utility command for x", "Running utility command for x"),
    ],
)
def test_outputs(what: str, output: str) -> None:
    assert output_of(what) == output


def test_the_log_of_every_version(tmp_path: Path) -> None:
    log = tmp_path / ".ninja_log"
    assert read_log(log) == {}
    for version in (5, 6, 7):
        log.write_text(
            f"# ninja log v{version}\n"
            "0\t11865\t1795761940190536365\tcaffe2/a b.o\t281e50b98ee1819\n"
            "1\t86\t1795761952066536915\tundef.o\t97da94f7b3ce7e1c\n"
            "100\t350\t1795761952066536915\tundef.o\t97da94f7b3ce7e1c\n"  # built again
            "7\t5\t0\tclock.o\t1\n"
        )
        assert read_log(log) == {"caffe2/a b.o": 11.865, "undef.o": 0.25, "clock.o": 0.0}


@pytest.mark.parametrize(
    "text", ["", "# ninja log v99\n", "1\t2\n", "1\t2\t3\ta.o\t", "x\t2\t3\ta.o\t4\n", "1\t2\t3\t\t4"]
)
def test_torn_records_are_passed_over(text: str, tmp_path: Path) -> None:
    log = tmp_path / ".ninja_log"
    log.write_text(f"# ninja log v6\n0\t1000\t3\tb.o\tff\n{text}")
    assert read_log(log) == {"b.o": 1.0}


@given(st.binary(max_size=200))
def test_no_log_breaks_its_reader(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as log:
        log.write(data)
        log.flush()
        assert all(seconds >= 0 for seconds in read_log(Path(log.name)).values())


def told(said: str, *, code: int | None = 1) -> Failure:
    """Return the failure that ninja would print of a step that said this."""
    head = "FAILED: a.o" if code is None else f"FAILED: [code={code}] a.o"
    [failure] = failures(f"[1/2] Building CXX object a.o\n{head} \ng++ -c a.cpp\n{said}\n[2/2] x".splitlines())
    assert failure.outputs == ("a.o",)
    assert failure.command == "g++ -c a.cpp"
    return failure


GCC_ERROR = """\
bad.cpp: In function 'int main()':
bad.cpp:2:36: error: 'class std::vector<int>' has no member named 'push_bac'; did you mean 'push_back'?
    2 | int main() { std::vector<int> v; v.push_bac(1); return undefined_name; }
      |                                    ^~~~~~~~
      |                                    push_back"""


def test_an_error_begins_with_its_first_line() -> None:
    failure = told(f"a.h:1:2: warning: unused\n    1 | // Killed, fatal error: out of memory\n{GCC_ERROR}")
    assert failure.message.splitlines()[0].startswith("bad.cpp:2:36: error: ")
    assert failure.message.splitlines()[-1].endswith("push_back")
    assert why(failure) == "error"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        # gcc 12, its cc1plus killed
        ("g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.", "killed"),
        ("g++: internal compiler error: Killed (program cc1plus)\nPlease submit a full bug report,", "killed"),
        # binutils, ld killed
        ("collect2: fatal error: ld terminated with signal 9 [Killed]\ncompilation terminated.", "killed"),
        # clang 14, its -cc1 killed; it compiles within the driver otherwise, and dash says that one was killed
        (
            "clang: error: unable to execute command: Killed\nclang: error: frontend command failed due to signal",
            "killed",
        ),
        ("Killed", "killed"),
        ("/bin/sh: line 1: 12345 Killed                  g++ -c a.cpp", "killed"),
        ("make[2]: *** [Makefile:9: a.o] Error 137", "killed"),
        ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)", "killed"),
        # binutils' as, gcc 12, clang 14, ld, ar, on a full file system
        ("a.s: Fatal error: can't write 59 bytes to section .text of x.o: 'No space left on device'", "disk-full"),
        ("a.cpp:7:52: fatal error: error writing to a.s: No space left on device\n    7 | x", "disk-full"),
        ("fatal error: error in backend: IO failure on output stream: No space left on device\nPLEASE", "disk-full"),
        ("ld: final link failed: No space left on device", "disk-full"),
        ("ar: small/lib.a: No space left on device", "disk-full"),
        # gcc 12, clang 14, ld with ulimit -v
        ("virtual memory exhausted: Cannot allocate memory", "memory"),
        ("\ncc1plus: out of memory allocating 262144 bytes after a total of 2850816 bytes", "memory"),
        ("LLVM ERROR: out of memory\nAllocation failed\nPLEASE submit a bug report to", "memory"),
        ("cmake: error while loading shared libraries: x.so: failed to map segment from shared object", "memory"),
        ("ld: output format elf64-x86-64 cannot represent section called .bss: memory exhausted", "memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc", "memory"),
        ('Traceback (most recent call last):\n  File "a.py", line 1\nMemoryError', "memory"),
        (GCC_ERROR, "error"),
        ("/usr/bin/ld: undef.o: in function `main':\nundef.cpp: undefined reference to `missing()'", "error"),
        ("a.cpp:1:2: error: static assertion failed: out of memory is no reason", "error"),
        ("error: 'Killed' was not declared in this scope", "error"),
        ("", "error"),
    ],
)
def test_causes(said: str, cause: Why) -> None:
    for code in (1, None):
        assert why(told(said, code=code)) == cause
        # Behind a day's warnings, the cause is found and is what is told.
        noise = "\n".join(f"a.h:{line}:1: warning: dangling reference" for line in range(500))
        failure = told(f"{noise}\n{said}", code=code)
        assert why(failure) == cause
        assert len(failure.message.splitlines()) <= 20
        assert not said or cause == "error" or said.strip().splitlines()[0] in failure.message or "MemoryError" in said


def test_a_step_that_was_killed_and_said_nothing() -> None:
    assert why(told("", code=137)) == "killed"
    assert why(told("", code=143)) == "killed"
    assert why(told("a.cpp:1:1: warning: x", code=137)) == "killed"
    assert told("").message == ""


# Recorded in a terminal (ninja -k 5), with what follows the failures.
TERMINAL = (
    "\r[0/2] Building CXX object bad.o\x1b[K\r[0/2] Linking CXX executable undef\x1b[K\r\n"
    "\x1b[31mFAILED: [code=1] \x1b[0mundef \r\n"
    "g++ undef.o -o undef\r\n"
    "/usr/bin/ld: undef.o: in function `main':\r\n"
    "undef.cpp:(.text.startup+0x1): undefined reference to `missing()'\r\n"
    "collect2: error: ld returned 1 exit status\r\n"
    "\r[2/2] Building CXX object bad.o\x1b[K\r\n"
    "\x1b[31mFAILED: [code=137] \x1b[0mgen.h gen.cpp \r\n"
    "sh -c 'sh -c \"kill -9 $$\"; exit 1'\r\n"
    "Killed\r\n"
    "ninja: build stopped: cannot make progress due to previous errors.\r\n"
)


def test_failures_in_a_terminal() -> None:
    first, second = failures(TERMINAL.split("\n"))
    assert first.outputs == ("undef",)
    assert first.message.splitlines() == [
        "undef.cpp:(.text.startup+0x1): undefined reference to `missing()'",
        "collect2: error: ld returned 1 exit status",
    ]
    assert second == Failure(("gen.h", "gen.cpp"), "sh -c 'sh -c \"kill -9 $$\"; exit 1'", "Killed", 137)


def test_an_output_that_breaks_off() -> None:
    assert failures(["FAILED: a.o"]) == [Failure(("a.o",), "", "")]
    assert failures(["FAILED: a.o", "g++", "FAILED: b.o", "cc"]) == [
        Failure(("a.o",), "g++", ""),
        Failure(("b.o",), "cc", ""),
    ]
    assert failures(["Test FAILED: 3 of 4", "[1/2] x"]) == []


RULES = """\
rule cxx
  command = {limit}g++ -O2 -c $in -o $out
  description = Building CXX object $out
rule link
  command = g++ $in -o $out
  description = Linking CXX executable $out
build slow.o: cxx slow.cpp
build program: link slow.o
"""
SLOW = """\
#include <map>
#include <string>
#include <vector>
template<int N, int M> struct F { static const unsigned v = F<N - 1, M>::v + F<N - 1, M + N>::v; };
template<int M> struct F<0, M> { static const unsigned v = M; };
int main() { return F<24, 0>::v & 1; }
"""


def run_ninja(folder: Path, limit: str = "") -> subprocess.Popen[str]:
    (folder / "build.ninja").write_text(RULES.format(limit=limit))
    (folder / "slow.cpp").write_text(SLOW)
    return subprocess.Popen(["ninja", "-C", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_real_ninja_whose_compiler_is_killed(tmp_path: Path) -> None:
    with run_ninja(tmp_path) as ninja:
        until = time.monotonic() + 60
        while not (found := [process for process in below(ninja.pid) if process.name == "cc1plus"]):
            assert time.monotonic() < until
        end(found, 0.0)
        assert ninja.stdout is not None
        [failure] = failures(ninja.stdout)
    assert failure.outputs == ("slow.o",)
    assert failure.command == "g++ -O2 -c slow.cpp -o slow.o"
    assert why(failure) == "killed"


def test_a_real_ninja_with_too_little_memory(tmp_path: Path) -> None:
    with run_ninja(tmp_path, "ulimit -v 70000; ") as ninja:
        assert ninja.stdout is not None
        [failure] = failures(ninja.stdout)
    assert why(failure) == "memory"


# --- files that are not whole ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with one of each kind, all whole."""
    folder = tmp_path_factory.mktemp("template") / "build"
    (folder / "lib").mkdir(parents=True)
    (folder / "a.c").write_text("int a(int x) { return x + 1; }\nint main(void) { return a(1); }\n")
    for command in (
        ["gcc", "-c", "a.c", "-o", "a.o"],
        ["gcc", "-c", "-ffunction-sections", "-flto", "a.c", "-o", "b.cpp.o"],
        ["gcc", "-m32", "-c", "a.c", "-o", "thirty-two.o"],
        ["ar", "rcs", "lib/liba.a", "a.o", "b.cpp.o"],
        ["ar", "rcsT", "lib/libthin.a", "a.o"],
        ["gcc", "-shared", "-fPIC", "a.c", "-o", "lib/liba.so.1.2"],
        ["gcc", "a.c", "-o", "program"],
    ):
        subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)
    (folder / "lib" / "liba.so").symlink_to("liba.so.1.2")
    (folder / "empty.cpp").touch()
    (folder / "script").write_text("#!/bin/sh\n")
    (folder / "script").chmod(0o755)
    (folder / "bitcode.o").write_bytes(b"BC\xc0\xde" + bytes(60))
    return folder


@pytest.fixture
def build(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "build", symlinks=True, copy_function=shutil.copy)
    return tmp_path / "build"


COMPILED = ("a.o", "b.cpp.o", "thirty-two.o", "lib/liba.a", "lib/liba.so.1.2", "program")


def cut(data: bytes) -> bytes:
    return data[: len(data) * 9 // 10]


def fill(data: bytes) -> bytes:
    """As a file system leaves a file that was written but never reached the disk: its size, and zeros."""
    return data[: len(data) // 4096 * 4096 or 64] + bytes(len(data) - (len(data) // 4096 * 4096 or 64))


def test_whole_files_are_left(build: Path) -> None:
    before = sorted(build.rglob("*"))
    assert remove_torn(build) == []
    assert sorted(build.rglob("*")) == before


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        cut,
        lambda data: data[:3],
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: bytes(len(data)),
    ],
    ids=["empty", "cut", "three", "forty", "one-less", "zeros"],
)
def test_torn_files_are_removed(name: str, damage: Callable[[bytes], bytes], build: Path) -> None:
    path = build / name
    path.write_bytes(damage(path.read_bytes()))
    assert remove_torn(build) == [path]
    assert not path.exists()


def test_an_object_whose_end_was_never_written(build: Path) -> None:
    path = build / "a.o"
    path.write_bytes(fill(path.read_bytes()))
    assert remove_torn(build) == [path]


def test_an_object_without_section_headers_is_torn(build: Path) -> None:
    for name in ("a.o", "program"):
        data = bytearray((build / name).read_bytes())
        data[40:48] = bytes(8)  # e_shoff: as before the headers are written
        (build / name).write_bytes(data)
    assert remove_torn(build) == [build / "a.o"], "a program runs without"


def test_an_object_of_very_many_sections(build: Path) -> None:
    source = "".join(f".section s{number}\n.byte 1\n" for number in range(66_000))
    (build / "many.s").write_text(source)
    subprocess.run(["as", "many.s", "-o", "many.o"], cwd=build, check=True)
    assert remove_torn(build) == []
    data = (build / "many.o").read_bytes()
    (build / "many.o").write_bytes(data[:-64])
    assert remove_torn(build) == [build / "many.o"]


def test_what_was_unpacked_with_its_date_is_a_source(build: Path) -> None:
    (build / "a.o").write_bytes(b"")
    (build / "tests").mkdir()
    broken = build / "tests" / "broken.o"
    broken.write_bytes(b"\x7fELF")
    os.utime(broken, (1_600_000_000, 1_600_000_000))
    assert remove_torn(build) == [build / "a.o"]
    assert broken.exists()


def test_links_are_not_followed(build: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.o").touch()
    (build / "linked").symlink_to(outside)
    (build / "linked.o").symlink_to(outside / "a.o")
    assert remove_torn(build) == []
    assert (outside / "a.o").exists()


def test_a_build_goes_on_after_a_power_loss(tmp_path: Path) -> None:
    """ninja alone takes a torn object for a finished one, if its log was on the disk."""
    (tmp_path / "build.ninja").write_text(RULES.format(limit=""))
    (tmp_path / "slow.cpp").write_text("int main() { return 0; }\n")
    subprocess.run(["ninja", "-C", str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    (tmp_path / "program").unlink()
    whole = (tmp_path / "slow.o").read_bytes()
    status = (tmp_path / "slow.o").stat()
    (tmp_path / "slow.o").write_bytes(cut(whole))
    os.utime(tmp_path / "slow.o", ns=(status.st_atime_ns, status.st_mtime_ns))
    ended = subprocess.run(["ninja", "-C", str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert [failure.outputs for failure in failures(ended.stdout.splitlines())] == [("program",)]
    assert remove_torn(tmp_path) == [tmp_path / "slow.o"]
    subprocess.run(["ninja", "-C", str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "slow.o").read_bytes() == whole


def test_no_file_is_read_whole(build: Path) -> None:
    """The headers of a sparse object of a terabyte, at its end, are read in no time."""
    data = (build / "a.o").read_bytes()
    table = int.from_bytes(data[40:48], "little")
    with (build / "huge.o").open("wb") as stream:
        stream.write(data[:40] + (1 << 40).to_bytes(8, "little") + data[48:])
        stream.seek(1 << 40)
        stream.write(data[table:])
    assert remove_torn(build) == []
    os.truncate(build / "huge.o", (1 << 40) + 64)
    assert remove_torn(build) == [build / "huge.o"]
