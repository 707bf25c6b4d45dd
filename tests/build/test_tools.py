from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from debtool.build.checks import check, fix_command, refuse
from debtool.build.tools import ask, compiling_trouble, find_compiler, find_tool, tool_check, version_in
from debtool.model.errors import OutsideError
from tests.support.tools import make_tool, says

_PATH = "/usr/bin:/bin"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("cmake version 3.28.3\n\nCMake suite maintained and supported by Kitware (kitware.com/cmake).", "3.28.3"),
        ("1.11.1.git.kitware.jobserver-1", "1.11.1"),
        ("git version 2.43.0", "2.43.0"),
        ("ccache version 4.9.1\nFeatures: file-storage http-storage", "4.9.1"),
        ("distcc 3.4 x86_64-pc-linux-gnu", "3.4"),
        ("GNU patch 2.7.6", "2.7.6"),
        ("6.3.42134-a9a80e791", "6.3.42134"),
        ("v4.0.1", "4.0.1"),
    ],
)
def test_versions_are_read_as_programs_print_them(text: str, version: str) -> None:
    assert version_in(text) == Version(version)


@given(st.text())
def test_any_text_has_a_version_or_none(text: str) -> None:
    version = version_in(text)
    assert version is None or "." in str(version)


@given(st.lists(st.integers(min_value=0, max_value=10**6), min_size=2, max_size=4), st.text(alphabet="abc ():\n"))
def test_a_version_is_found_between_words(numbers: list[int], words: str) -> None:
    version = ".".join(map(str, numbers))
    assert version_in(f"{words} {version} {words}") == Version(version)


def test_a_tool_that_is_not_there_is_named_with_its_package() -> None:
    one = tool_check(find_tool("no-such-tool", _PATH), "it is needed", ["some-package"])
    assert (one.verdict, one.found, one.fix) == ("missing", "no no-such-tool on PATH", "apt install some-package")


def test_a_broken_tool_says_why(tmp_path: Path) -> None:
    make_tool(tmp_path, "cmake", "echo 'lost' >&2; printf 'error: libuv.so.1: cannot open\\033[31m\\n' >&2; exit 127")
    one = tool_check(find_tool("cmake", str(tmp_path)), "", ["cmake"])
    assert one.verdict == "missing"
    assert one.found == rf"{tmp_path}/cmake does not run: error: libuv.so.1: cannot open\x1b[31m"


@pytest.mark.parametrize("text", ["", "not a program"])
def test_a_file_that_is_no_program_is_an_answer(tmp_path: Path, text: str) -> None:
    tool = tmp_path / "ninja"
    tool.write_bytes(b"\0" + text.encode())
    tool.chmod(0o755)
    found = find_tool("ninja", str(tmp_path))
    assert "does not run" in found.found
    assert tool_check(found, "", ["ninja-build"]).verdict == "missing"


def test_a_tool_that_is_too_old_or_does_not_say_is_not_taken(tmp_path: Path) -> None:
    make_tool(tmp_path, "cmake", says("cmake version 3.16.3"))
    make_tool(tmp_path, "ninja", "true")
    old = tool_check(find_tool("cmake", str(tmp_path)), "", ["cmake"], minimum=Version("3.18"))
    assert (old.verdict, old.found, old.wanted) == ("missing", f"{tmp_path}/cmake, 3.16.3", "cmake 3.18 or newer")
    assert tool_check(find_tool("ninja", str(tmp_path)), "", [], minimum=Version("1")).verdict == "missing"
    assert tool_check(find_tool("ninja", str(tmp_path)), "", []).verdict == "ok"


def test_a_tool_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    make_tool(tmp_path, "hangs", f"/bin/sleep 600 & echo $! > {tmp_path}/child; wait")
    begun = time.monotonic()
    answer = ask([tmp_path / "hangs"], path=str(tmp_path), patience=1.0)
    assert (answer.code, answer.trouble) == (None, "did not answer in time")
    assert time.monotonic() - begun < 300  # and not for as long as its child sleeps
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    deadline = time.monotonic() + 60
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_tool_sees_no_variables_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXXFLAGS", "-mavx2")
    answer = ask(["env"], path=_PATH, environment={"MORE": "1"})
    names = {line.partition("=")[0] for line in answer.output.splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {"PATH", "HOME", "LC_ALL", "MORE"}


def test_the_compiler_of_this_machine_is_known_and_works() -> None:
    compiler = find_compiler("c++", _PATH)
    assert compiler.family in {"gcc", "clang"}
    assert compiler.tool.path is not None
    assert compiler.tool.version is not None
    program = "#include <optional>\nint main() { return std::optional<int>{}.value_or(0); }\n"
    assert compiling_trouble(compiler.tool.path, program, ".cpp", ["-std=c++17", "-march=westmere"], _PATH) == ""
    trouble = compiling_trouble(compiler.tool.path, program, ".cpp", ["-std=c++98"], _PATH)
    assert "error" in trouble
    assert "error" in compiling_trouble(compiler.tool.path, program, ".cpp", ["-march=no-such-cpu"], _PATH)


def test_a_compiler_that_compiles_and_cannot_link_is_in_trouble() -> None:
    compiler = Path(shutil.which("cc", path=_PATH) or "")
    trouble = compiling_trouble(compiler, "int other(void); int main(void) { return other(); }\n", ".c", [], _PATH)
    assert trouble


def test_a_compiler_that_leaves_nothing_is_in_trouble(tmp_path: Path) -> None:
    compiler = make_tool(tmp_path, "c++", "true")
    assert compiling_trouble(compiler, "", ".cpp", [], _PATH) == "it ended well and left no program"


def test_clang_and_gcc_are_told_apart(tmp_path: Path) -> None:
    make_tool(tmp_path, "clang++", says("Ubuntu clang version 18.1.3 (1ubuntu1)"))
    clang = find_compiler("clang++", str(tmp_path))
    assert (clang.family, clang.tool.version) == ("clang", Version("18.1.3"))
    script = (
        "if [ $# = 2 ]; then echo 9.4.0; else echo 'c++ (Vendor 1.2.3-4) 9.4.0'; echo 'Free Software Foundation'; fi"
    )
    make_tool(tmp_path, "c++", script)
    gcc = find_compiler("c++", str(tmp_path))
    assert (gcc.family, gcc.tool.version) == ("gcc", Version("9.4.0"))
    make_tool(tmp_path, "c++", says("tcc version 0.9.27"))
    assert find_compiler("c++", str(tmp_path)).family is None


_CHECKS = [
    check("git", "ok", "2.39", "git", ""),
    check("ninja", "missing", "no ninja on PATH", "ninja", "builds", packages=["ninja-build"]),
    check("numa", "warning", "no numa.h", "numa.h", "", packages=["libnuma-dev"]),
    check("again", "missing", "", "", "", packages=["ninja-build"]),
    check("build dependencies", "missing", "not installed: a", "all", "", fix="apt-get build-dep pytorch"),
    check("disk", "missing", "1 GB", "19 GB", "the build", fix="make room"),
]


def test_one_command_mends_what_apt_can() -> None:
    assert fix_command(_CHECKS, superuser=False).splitlines() == [
        "# disk: make room",
        "sudo apt install libnuma-dev ninja-build",
        "sudo apt-get build-dep pytorch",
    ]
    assert "sudo" not in fix_command(_CHECKS, superuser=True)
    assert ("sudo" in fix_command(_CHECKS)) == (os.geteuid() != 0)
    assert fix_command(_CHECKS[:1]) == ""


def test_every_miss_is_refused_at_once_and_a_warning_is_not() -> None:
    with pytest.raises(OutsideError) as caught:
        refuse(_CHECKS)
    assert [issue.field for issue in caught.value.issues] == ["ninja", "again", "build dependencies", "disk"]
    told = "ninja: no ninja on PATH; wanted: ninja (builds); fix: apt install ninja-build"
    assert str(caught.value.issues[0]) == told
    refuse([one for one in _CHECKS if one.verdict != "missing"])
