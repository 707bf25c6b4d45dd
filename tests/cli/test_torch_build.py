"""``debtool torch build``: what it refuses before it begins, and what it comes to on the stand-in for PyTorch."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from debtool.build.builder import Builder
from debtool.build.compile_commands import WESTMERE, beyond, read_commands
from debtool.build.environment import BuildEnvironment
from debtool.build.journal import Begin, Edge, End, Journal, Note, Phase, Reader
from debtool.build.machine import Machine
from debtool.build.provenance import read_statement, verify
from debtool.build.workplace import Workplace
from debtool.cli.torch.view import View
from debtool.deb.files import sha256_of
from debtool.elf.needs import elf_files
from debtool.torch.build import STEPS
from debtool.torch.result import needs_of
from debtool.wheel.source import open_wheel
from tests.support.rocm import make_rocm
from tests.support.torch_stack import REQUIREMENTS
from tests.support.torch_tree import make_tree, make_vision_tree

if TYPE_CHECKING:
    from debtool.build.journal import Entry
    from tests.cli.conftest import Program
    from tests.support.wheels import TinyWheels

REPOSITORY = Path(__file__).parents[2]
WHEEL = "torch-2.6.0+cpu.noavx-cp311-cp311-linux_x86_64.whl"
CPU = ("--target", "bookworm", "--version", "2.6.0", "--cpu-only")
WHERE = ("--set", "CXXFLAGS=-march=westmere -DWHERE={folder}")
ROCM = ("--target", "noble-rocm6.3", "--version", "2.6.0")

STACK = f"""\
schema = 1
name = "acme"
title = "Acme"
prefix = "acme"
install_prefix = "/usr/lib/acme"
maintainer = "Ada <ada@example.org>"
homepage = "https://example.org/acme"
version = "1.0"
date = 2026-11-23
targets = ["bookworm"]
archive = "archive.toml"
public = "public"

[requirements]
{REQUIREMENTS}
[[package]]
recipe = "runtime"
name = "runtime"
summary = "Python environment of Acme"
description = "A virtual environment."
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("source") / "pytorch")


@pytest.fixture(scope="module")
def rocm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rocm(tmp_path_factory.mktemp("rocm") / "rocm", "6.3.4")


def plan(program: Program, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Return the exit code of ``--dry-run``, and what it says."""
    done = program("torch", "build", *arguments, "--dry-run", "--json")
    found: dict[str, Any] = json.loads(done.out)
    assert found["kind"] == "torch-build-plan"
    return done.code, found


def missing(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in found["checks"] if one["verdict"] == "missing"}


# --- the plan -----------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_checks_and_steps_and_writes_nothing(program: Program, tree: Path, tmp_path: Path) -> None:
    code, found = plan(program, *CPU, "--source", tree)
    assert code == (3 if missing(found) else 0)
    done = program("torch", "build", *CPU, "--source", tree, "--dry-run")
    assert done.code == code
    rows = {words[1]: words[0] for words in map(str.split, done.out.splitlines()) if words[:1] == ["ok"]}
    assert {"architecture", "cmake", "ninja", "Python"} <= rows.keys()
    assert f"would build {found['title']}" in done.out
    assert found["title"] == "torch 2.6.0+cpu.noavx for bookworm, free"
    assert found["steps"] == [*STEPS]
    assert f"steps   {', '.join(STEPS)}" in done.out
    assert found["settings"]["USE_FBGEMM"] == "0"
    assert found["folder"] == str(tmp_path / "cache/torch/bookworm-2.6.0-cpu.noavx-free")
    assert not (tmp_path / "cache").exists()


def test_a_dry_run_of_what_cannot_be_built_here_says_so(program: Program, tree: Path, tmp_path: Path) -> None:
    where = ("--source", tree, "--rocm-path", tmp_path / "none")
    code, found = plan(program, *ROCM, *where)
    assert code == 3
    assert missing(found)["ROCm HIP"]["packages"] == ["hip-dev"]
    done = program("torch", "build", *ROCM, *where, "--dry-run")
    assert done.code == 3
    assert re.search(r"^missing +ROCm HIP ", done.out, re.MULTILINE)
    assert "to install what is missing:" in done.out

    # One line that installs everything, each package once, and none that is there.
    done = program("torch", "build", *ROCM, *where, "--fix")
    assert done.code == 0
    [command] = [line for line in done.out.splitlines() if not line.startswith("#")]
    words = command.removeprefix("sudo ").split()
    assert words[:2] == ["apt", "install"]
    wanted = {package for one in found["checks"] if one["verdict"] != "ok" for package in one["packages"]}
    assert words[2:] == sorted(wanted)
    assert {"hip-dev", "rocblas-dev", "miopen-hip-dev", "roctracer-dev", "hipcc"} <= wanted
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("package", ["hipblaslt-dev", "rocm-device-libs"])
def test_a_component_of_rocm_that_is_missing_is_named_with_its_package(
    program: Program, tree: Path, tmp_path: Path, package: str
) -> None:
    path = make_rocm(tmp_path / "rocm", "6.3.4", without=[package])
    done = program("torch", "build", *ROCM, "--source", tree, "--rocm-path", path)
    assert done.code == 3
    told = re.findall(r"^debtool: ROCm.*; fix: (.*)$", done.err, re.MULTILINE)
    assert set(told) == {f"apt install {package}"}
    assert not (tmp_path / "cache").exists()


def test_a_whole_rocm_lacks_nothing(program: Program, tree: Path, rocm: Path) -> None:
    _, found = plan(program, *ROCM, "--source", tree, "--rocm-path", rocm)
    assert not [name for name in missing(found) if "ROCm" in name]
    assert found["title"] == "torch 2.6.0+rocm6.3.noavx for noble-rocm6.3, free"
    assert found["settings"]["PYTORCH_ROCM_ARCH"] == "gfx1030"


def test_an_old_rocm_is_refused(program: Program, tree: Path, tmp_path: Path) -> None:
    path = make_rocm(tmp_path / "rocm", "6.1.0")
    done = program("torch", "build", *ROCM, "--source", tree, "--rocm-path", path)
    assert done.code == 3
    assert f"debtool: ROCm: ROCm 6.1.0 at {path}, too old; wanted: ROCm 6.3.4" in done.err
    assert "fix: install AMD's packages of 6.3.4" in done.err
    assert not (tmp_path / "cache").exists()


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--version", "2.9.0"),
            ("--version: PyTorch 2.9.0+cpu.noavx is not known here", "(docs/torch.md)", "fix: a release of 2.4, 2.5, "),
        ),
        (("--version", "new"), ("--version: 'new' is no version", "(PEP 440)", "fix: --version 2.7.1")),
        (
            ("--set", "USE_FBGEMM=1"),
            ("USE_FBGEMM: 1 is refused: fbgemm::FindMinMax", "(PyTorch 2.6.0, aten/", "fix: leave it 0"),
        ),
        (
            ("--set", "USE_XNNPACK=1"),
            ("USE_XNNPACK: 1 is refused: units for AVX2", "(PyTorch 2.6.0, cmake/", "fix: take --level dispatch-safe"),
        ),
        (("--set", "CXXFLAGS=-mavx2"), ("CXXFLAGS: -mavx2 is refused", "(GCC manual", "fix: leave it out")),
        (("--set", "USE_AVX_=1", "--set", "x"), ("--set: 'x' is not NAME=VALUE", "fix: USE_KINETO=1")),
        (("--set", "AVX=0"), ("AVX: nothing hands it on to CMake", "(docs/torch.md)", "fix: its name begins with")),
        (("--march", "haswell"), ("--march: -march=haswell is refused", "(docs/torch.md)", "fix: one of ")),
        (("--march", "native"), ("--march: -march=native is refused: it is what the builder has", "fix: one of ")),
        (
            ("--flavour", "debian"),
            ("--flavour: the source is of flavour upstream, not debian", "(Debian's is ", "fix: leave it out"),
        ),
        (("--tag-keyring", "none.asc"), ("--tag-keyring: only a tag of a git repository", "fix: leave it out")),
    ],
)
def test_bad_options_are_told_before_anything_is_written(
    program: Program, tree: Path, tmp_path: Path, arguments: tuple[str, ...], told: tuple[str, ...]
) -> None:
    done = program("torch", "build", *CPU, "--source", tree, *arguments)
    assert done.code == 2
    [line] = done.err.splitlines()
    assert line.startswith("debtool: ")
    for words in told:
        assert words in line
    assert not (tmp_path / "cache").exists()


def test_a_sibling_of_gfx1030_alone_is_refused(program: Program, tree: Path, tmp_path: Path) -> None:
    done = program("torch", "build", *ROCM, "--source", tree, "--gpu", "gfx1032")
    assert done.code == 2
    assert "PYTORCH_ROCM_ARCH: gfx1032 is refused: rocBLAS has kernels for gfx1030" in done.err
    assert "fix: gfx1030, or gfx1030;gfx1032" in done.err
    assert not (tmp_path / "cache").exists()


def test_a_tree_that_is_not_pytorch_is_refused(program: Program, tmp_path: Path) -> None:
    other = make_vision_tree(tmp_path / "vision")
    done = program("torch", "build", *CPU, "--source", other)
    assert done.code == 2
    [line] = done.err.splitlines()
    assert line.startswith(f"debtool: {other}: --source: is not PyTorch's source: it lacks CMakeLists.txt, torch/, ")
    assert line.endswith("fix: give the top folder of PyTorch's source")
    assert not (tmp_path / "cache").exists()


def test_a_tree_of_another_version_is_refused(program: Program, tree: Path, tmp_path: Path) -> None:
    done = program("torch", "build", "--target", "bookworm", "--version", "2.5.1", "--cpu-only", "--source", tree)
    assert done.code == 2
    assert done.err == (
        f"debtool: {tree}/version.txt: --version: this is PyTorch 2.6.0, but 2.5.1 is to be built; "
        "fix: give the source of 2.5.1, or ask for --version 2.6.0\n"
    )
    assert not (tmp_path / "cache").exists()


def test_a_tree_without_its_submodules_is_refused(program: Program, tree: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(tree, tmp_path / "bare"))
    shutil.rmtree(bare / "third_party" / "onnx")
    done = program("torch", "build", *CPU, "--source", bare)
    assert done.code == 2
    assert f"submodules are not there: third_party/onnx (setup.py, check_submodules); fix: git -C {bare} " in done.err
    assert not (tmp_path / "cache").exists()


def test_a_source_in_the_build_s_folder_is_refused(program: Program, tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache/torch/bookworm-2.6.0-cpu.noavx-free"
    inside = Path(shutil.copytree(tree, folder / "source"))
    done = program("torch", "build", *CPU, "--source", inside)
    assert done.code == 2
    assert f"{inside}: --source: the source and the build's folder {folder} lie in one another; fix: " in done.err
    assert [path.name for path in folder.iterdir()] == ["source"]


def test_a_keyring_that_is_not_there_is_refused(program: Program, tmp_path: Path) -> None:
    keyring = tmp_path / "none.asc"
    done = program("torch", "build", *CPU, "--tag-keyring", keyring)
    assert done.code == 2
    assert done.err == f"debtool: {keyring}: --tag-keyring: there is no such keyring; fix: correct the path\n"
    assert not (tmp_path / "cache").exists()


def test_without_the_target_s_python_nothing_begins(program: Program, tree: Path, tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(STACK)
    (tmp_path / "targets").mkdir()
    own = 'schema = 1\nextends = "bookworm"\nname = "other"\npython = "3.99"\npython_full = "3.99.1"\n'
    (tmp_path / "targets/other.toml").write_text(own)
    given = ("--target", "other", *CPU[2:], "--source", tree)
    done = program("--config", stack, "torch", "build", *given)
    assert done.code == 3
    assert "debtool: Python: no python3.99 on PATH; wanted: CPython 3.99, 64 bits (the wheel is for " in done.err
    # It is told with all else that is missing, and in the plan too.
    done = program("--config", stack, "torch", "build", *given, "--dry-run")
    assert done.code == 3
    assert re.search(r"^missing +Python +no python3\.99 on PATH", done.out, re.MULTILINE)
    assert not (tmp_path / "cache").exists()


def test_too_little_memory_is_refused(
    program: Program, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Machine(cpus=4, memory=2**30, swap=0, boot="")
    monkeypatch.setattr("debtool.torch.preflight.read_machine", lambda _root: small)
    done = program("torch", "build", *CPU, "--source", tree)
    assert done.code == 3
    assert "debtool: memory: 1.07 GB for 4 processors: too little for even one compiler; wanted: 2.68 GB" in done.err
    assert "fix: build on a machine with more memory, or add swap: fallocate -l 8G /swapfile" in done.err
    assert not (tmp_path / "cache").exists()


def test_too_little_disk_is_refused(
    program: Program, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("debtool.torch.room._room", lambda _folder: (10**9, 0))
    done = program("torch", "build", *CPU, "--source", tree)
    assert done.code == 3
    assert f"debtool: disk: 1 GB free in {tmp_path}; wanted: 10 GB (the source, the build and the wheel" in done.err
    assert "fix: make room, or build in a folder on a larger disk (--cache DIR)" in done.err
    assert not (tmp_path / "cache").exists()


def test_without_the_emulator_nothing_begins_that_needs_it(
    program: Program, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which

    def without(name: str, **where: Any) -> str | None:
        return None if name.startswith("qemu-") else real(name, **where)

    monkeypatch.setattr(shutil, "which", without)
    done = program("torch", "build", *CPU, "--source", tree)
    assert done.code == 3
    assert "debtool: emulator: qemu-x86_64, the emulator, is not installed" in done.err
    assert "fix: apt install qemu-user" in done.err
    assert not (tmp_path / "cache").exists()
    _, found = plan(program, *CPU, "--source", tree, "--no-run")
    assert "emulator" not in {one["name"] for one in found["checks"]}


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack of torch and torchvision, not locked yet."""
    file = tmp_path / "stack.toml"
    file.write_text(STACK)
    make_vision_tree(tmp_path / "vision")
    return file


def test_a_companion_whose_lock_is_missing_is_told_before_torch_is_built(
    program: Program, tree: Path, tmp_path: Path, stack: Path
) -> None:
    done = program("--config", stack, "torch", "build", "--target", "bookworm", "--source", tree)
    assert done.code == 2
    lock = tmp_path / "locks/acme.bookworm.txt"
    assert done.err == (
        f"debtool: {lock}: there is no lock for bookworm (what torchvision is compiled with is the lock's; "
        f"--no-companions builds without); fix: debtool --config {stack} lock --target bookworm\n"
    )
    assert not (tmp_path / "cache").exists()
    done = program("--config", stack, "torch", "build", *CPU[:2], "--source", tree, "--no-companions", "--dry-run")
    assert "steps   preflight" in done.out
    assert "torchvision" not in done.out


def test_a_companion_whose_source_is_missing_is_told_before_torch_is_built(
    program: Program, tree: Path, tmp_path: Path, stack: Path
) -> None:
    assert program("--config", stack, "lock", "--target", "bookworm").code == 0
    arguments = ("--config", stack, "torch", "build", "--target", "bookworm", "--source", tree)
    done = program(*arguments, "--dry-run")
    assert f"steps   {', '.join([*STEPS, 'torchvision'])}" in done.out
    shutil.rmtree(tmp_path / "vision")
    done = program(*arguments)
    assert done.code == 2
    assert f"{stack}: artefact torchvision: there is no such source: {tmp_path}/vision; fix: correct" in done.err
    assert not (tmp_path / "cache/torch").exists()


# --- parts --------------------------------------------------------------------------------------------------------


def test_a_resumed_build_does_not_repeat_what_earlier_runs_have_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = Begin("torch 2.6.0 for noble", os.getpid(), "", 2, 10**9, 2)
    with Journal(tmp_path / "journal.jsonl") as journal:
        for event in (begin, Phase("compile", 1, 1), Note("of the first run"), End("interrupted", "stopped")):
            journal.write(event)
        view = View(journal.path, plain=True)
        view.read()
        for event in (begin, Phase("compile", 1, 1), Note("of the second run"), End("done", "torch.whl")):
            journal.write(event)
        assert view.follow(lambda: False) == "done"
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith("torch 2.6.0 for noble goes on, run 2: 2 jobs at most, 1 GB of memory")
    assert told[2].endswith("of the second run")
    assert not any("of the first run" in line for line in told)


def test_a_companion_is_run_with_what_its_own_metadata_requires(tiny_index: TinyWheels, tmp_path: Path) -> None:
    for name in ("numpy", "gear", "cog", "unwanted"):
        tiny_index.wheel(name, "1.0", requires=["cog"] if name == "gear" else [])
    apart = tmp_path / "apart"
    torch = tiny_index.wheel("torch", "2.6.0+cpu.noavx", requires=["cog"], folder=apart)
    companion = tiny_index.wheel(
        "companion", "1.0", requires=["torch==2.6.0", "gear", "unwanted; python_version < '3'"], folder=apart
    )
    with Workplace.opened(tmp_path / "work") as place, Journal(place.journal) as journal:
        made = BuildEnvironment(Builder(place, journal, 1), {})
        made.create(Path(sys.executable), (), ())
        needs = needs_of(made, companion, torch)
        assert [path.name.partition("-")[0] for path in needs] == ["cog", "gear", "numpy", "torch"]
        assert sha256_of(needs[3]) == sha256_of(torch)


# --- whole builds -------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What the command came to, as a user runs it.

    Attributes:
        entries: The journal's entries of this run, read when it had ended.
        configured: How often CMake has written the build's files, in all runs until then.
    """

    code: int
    out: str
    err: str
    folder: Path
    kept: Path
    entries: list[Entry] = field(init=False)
    configured: int = field(init=False)

    def __post_init__(self) -> None:
        entries = list(Reader(self.folder / "journal.jsonl").new())
        begins = [number for number, entry in enumerate(entries) if isinstance(entry.event, Begin)]
        self.entries = entries[begins[-1] :]
        log = (self.folder / "build.log").read_text()
        self.configured = log.count("-- Build files have been written to")

    @property
    def phases(self) -> list[str]:
        return [entry.event.name for entry in self.entries if isinstance(entry.event, Phase)]

    @property
    def compiled(self) -> list[str]:
        """The units that were compiled."""
        done = (entry.event.what for entry in self.entries if isinstance(entry.event, Edge))
        return sorted(what.rpartition("/")[2] for what in done if what.startswith("Building C"))


def build(cache: Path, tree: Path, *arguments: str, level: str = "free") -> Run:
    """Run the command in a process of its own; compiler caches count for nothing."""
    done = subprocess.run(
        [*command(cache, tree, level), *arguments], cwd=REPOSITORY, text=True, capture_output=True, check=False
    )
    folder = cache / "torch" / f"bookworm-2.6.0-cpu.noavx-{level}"
    return Run(done.returncode, done.stdout, done.stderr, folder, cache / "built/bookworm/torch-2.6.0+cpu.noavx")


def command(cache: Path, tree: Path, level: str) -> list[str]:
    words = [sys.executable, "-m", "debtool.cli.main", "--cache", str(cache), "torch", "build", *CPU, "--level", level]
    return [*words, "--source", str(tree), "--launcher", "none", "--no-run"]


def objects(run: Run) -> dict[Path, int]:
    """When each object was compiled."""
    return {path: path.stat().st_mtime_ns for path in (run.folder / "source/build").rglob("*.o")}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def built(cache: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A build, with what it keeps in a place of its own: later runs replace the result."""
    run = build(cache, tree, "--json")
    assert run.code == 0, run.err
    run.kept = Path(shutil.copytree(run.kept, tmp_path_factory.mktemp("kept") / "torch"))
    return run


@pytest.fixture(scope="module")
def again(built: Run, cache: Path, tree: Path) -> tuple[dict[Path, int], Run]:
    """The same command again, and when objects were compiled before it."""
    before = objects(built)
    return before, build(cache, tree)


@pytest.fixture(scope="module")
def on_a_terminal(again: tuple[dict[Path, int], Run], cache: Path, tree: Path) -> tuple[int, str]:
    """The same command on a terminal: its exit code, and what it wrote there."""
    assert again[1].code == 0
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", "LANG": "C.UTF-8"}
    words = command(cache, tree, "free")
    seen = b""
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, cwd=REPOSITORY, env=environment) as done:
        os.close(theirs)
        # Linux says EIO when nobody has the other end any more.
        with suppress(OSError):
            while data := os.read(ours, 1 << 16):
                seen += data
    os.close(ours)
    return done.returncode, seen.decode()


@pytest.fixture(scope="module")
def spoiled(on_a_terminal: tuple[int, str], cache: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same build of a tree that does not obey."""
    assert on_a_terminal[0] == 0
    other = Path(shutil.copytree(tree, tmp_path_factory.mktemp("spoiled") / "pytorch"))
    file = other / "CMakeLists.txt"
    option = 'option(USE_KINETO "kineto" ON)\n'
    assert file.read_text().count(option) == 1
    forced = 'set(USE_KINETO ON CACHE BOOL "always" FORCE)\n'
    file.write_text(file.read_text().replace(option, option + forced))
    return build(cache, other)


@pytest.mark.slow
def test_a_build_goes_through_the_steps_that_the_plan_names(built: Run, program: Program, tree: Path) -> None:
    _, found = plan(program, *CPU, "--source", tree, "--no-run")
    assert built.phases == found["steps"]
    assert "run" not in found["steps"]
    assert plan(program, *CPU, "--source", tree)[1]["steps"].count("run") == 1
    assert built.entries[-1].event == End("done", found["title"])
    phases = [entry.event for entry in built.entries if isinstance(entry.event, Phase)]
    assert [(one.number, one.of) for one in phases] == [(number, 8) for number in range(1, 9)]
    assert len(built.compiled) > 20


@pytest.mark.slow
def test_what_a_build_keeps_and_says_of_it(built: Run) -> None:
    told = json.loads(built.out)
    record = json.loads((built.kept / "record.json").read_text())
    wheel = built.kept / WHEEL
    assert told["kind"] == "torch-build"
    assert (told["size"], told["sha256"]) == (wheel.stat().st_size, sha256_of(wheel))
    assert {**record, "wheel": told["wheel"]} == {name: told[name] for name in record}
    assert told["wheel"].endswith(f"/built/bookworm/torch-2.6.0+cpu.noavx/{WHEEL}")
    assert (record["name"], record["version"], record["target"]) == ("torch", "2.6.0+cpu.noavx", "bookworm")
    assert (record["wheel"], record["sha256"], record["level"]) == (WHEEL, sha256_of(wheel), "free")
    assert record["settings"]["USE_FBGEMM"] == "0"
    assert record["audit"]["emulated"] == "not tried"  # --no-run
    assert "free, but for 1 function that asks the CPU" in built.err
    with open_wheel(wheel) as opened:
        found = {path: [*one.runpath] for path, one in elf_files(opened.sizes, opened.open).items() if one.runpath}
    assert record["run_paths"] == found
    assert record["run_paths"]["torch/lib/libtorch_cpu.so"][0] == "$ORIGIN"
    assert (built.kept / "summary.html").read_text().startswith("<!DOCTYPE html>")
    assert beyond(read_commands(built.kept / "compile_commands.json"), WESTMERE) == []


@pytest.mark.slow
def test_the_provenance_is_of_this_wheel_and_of_the_files_beside_it(built: Run, tree: Path, tmp_path: Path) -> None:
    file = built.kept / "provenance.intoto.json"
    verify(file, built.kept / WHEEL)
    predicate = read_statement(file)["predicate"]
    definition = predicate["buildDefinition"]
    assert definition["externalParameters"] == {
        "version": "2.6.0+cpu.noavx",
        "target": "bookworm",
        "level": "free",
        "cpu-only": True,
        "gpu": [],
        "march": "westmere",
        "here": False,
        "source": str(tree),
        "tag-keyring": None,
        "patches": None,
        "rocm-path": None,
        "launcher": "none",
        "settings": {},
    }
    assert definition["internalParameters"]["chosen"]["USE_FBGEMM"] == "0"
    names = {one["name"] for one in definition["resolvedDependencies"]}
    assert {"source", "setuptools", "numpy"} <= names
    byproducts = {one["name"]: one["digest"]["sha256"] for one in predicate["runDetails"]["byproducts"]}
    # Only the wheel, which is the subject, the statement itself, and the record are no byproducts.
    beside = {path.name: sha256_of(path) for path in built.kept.iterdir()}
    assert beside.keys() - byproducts.keys() == {WHEEL, "record.json", "provenance.intoto.json"}
    assert byproducts == {name: beside[name] for name in byproducts}
    # A wheel that somebody has changed is another.
    changed = tmp_path / WHEEL
    changed.write_bytes((built.kept / WHEEL).read_bytes() + b"\0")
    with pytest.raises(Exception, match="is not the statement of this wheel"):
        verify(file, changed)


@pytest.mark.slow
def test_the_same_command_again_does_nothing_anew(built: Run, again: tuple[dict[Path, int], Run]) -> None:
    before, run = again
    assert run.code == 0
    assert run.phases == built.phases
    assert run.compiled == []
    assert objects(run) == before
    assert sha256_of(run.kept / WHEEL) == sha256_of(built.kept / WHEEL)
    assert run.configured == built.configured > 0
    lines = run.err.splitlines()
    assert re.search(r"torch 2\.6\.0\+cpu\.noavx for bookworm, free goes on, run 2: ", lines[0])
    assert sum("phase 1 of 8: preflight" in line for line in lines) == 1
    assert sum("static audit of" in line for line in lines) == 1
    assert not any("\x1b" in line for line in lines)
    assert str(run.kept / WHEEL) in run.out


@pytest.mark.slow
def test_on_a_terminal_there_is_a_live_view_and_then_the_user_s_own_screen(on_a_terminal: tuple[int, str]) -> None:
    code, seen = on_a_terminal
    assert code == 0
    begin, end = seen.index("\x1b[?1049h"), seen.rindex("\x1b[?1049l")
    assert "phase " in seen[begin:end]
    assert seen.count("\x1b[?1049h") == seen.count("\x1b[?1049l") == 1
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # the cursor is back
    after = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", seen[end:])
    assert "torch 2.6.0+cpu.noavx for bookworm, free: done, after" in after
    assert WHEEL in after.replace("\r\n", "")


@pytest.mark.slow
def test_a_setting_that_did_not_take_is_an_error_after_configure(built: Run, spoiled: Run) -> None:
    assert spoiled.code == 2
    assert spoiled.phases == ["preflight", "source", "environment", "configure"]
    [line] = [line for line in spoiled.err.splitlines() if line.startswith("debtool: ")]
    assert line.startswith("debtool: USE_KINETO: 0 was wanted, but CMake's cache has ON: ")
    assert "(PyTorch 2.6.0, cmake/Dependencies.cmake:1552)" in line
    assert "fix: the source sets it itself: find where" in line
    assert spoiled.compiled == []
    assert "to go on from there: " in spoiled.err
    # What was built before is still what a release finds.
    assert sha256_of(spoiled.kept / WHEEL) == sha256_of(built.kept / WHEEL)


@pytest.fixture(scope="module")
def safe(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A build at the other level, with the build folder's path among the flags, which the tree stores."""
    run = build(tmp_path_factory.mktemp("safe-cache"), tree, *WHERE, level="dispatch-safe")
    assert run.code == 0, run.err
    return run


@pytest.mark.slow
def test_what_knows_where_it_was_built_is_told(built: Run, safe: Run) -> None:
    told = "warning: the build folder's path is in 2 files: another folder makes others: "
    assert told + "torch/include/caffe2/core/macros.h, torch/lib/libtorch_cpu.so" in safe.err
    assert "the build folder's path" not in built.err


@pytest.mark.slow
def test_dispatch_safe_has_code_for_avx_that_asks_first(safe: Run) -> None:
    record = json.loads((safe.kept / "record.json").read_text())
    assert (record["level"], record["audit"]["static"]) == ("dispatch-safe", "dispatch-safe")
    assert {flag for _, flags in beyond(read_commands(safe.kept / "compile_commands.json"), WESTMERE) for flag in flags}
    assert any(name.endswith(".AVX2.cpp.o") for name in safe.compiled)


@pytest.mark.slow
def test_another_setting_compiles_what_follows_from_it_and_nothing_else(safe: Run, tree: Path) -> None:
    cache = safe.folder.parents[1]
    before, kept = objects(safe), sha256_of(safe.kept / WHEEL)
    run = build(cache, tree, *WHERE, "--set", "USE_NNPACK=1", level="dispatch-safe")
    after = objects(run)
    assert {path.name for path in after.keys() - before.keys()} == {"avx2.c.o"}
    assert {path.name for path in before if after[path] != before[path]} <= {"empty.cpp.o"}
    assert run.configured > safe.configured
    # What it brings in is code for AVX2 that asks nobody: not what was promised, and the earlier result stays.
    assert run.code == 1
    assert "1 function may not be there at level dispatch-safe: nnpack_relu_avx2; fix: switch off what" in run.err
    assert sha256_of(run.kept / WHEEL) == kept
