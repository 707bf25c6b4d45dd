"""A real wheel compiled from its sdist by ninja, without its AVX paths: numpy as the lock for bookworm has it.

The build is stopped in the middle and goes on where ninja was.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv

from debtool.audit.baselines import find_baseline
from debtool.audit.findings import Level
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths
from debtool.build.journal import Begin, Edge, End, Reader, Sample
from debtool.build.source import fetch_source
from debtool.model.stack import Rebuild, Source
from debtool.stack.project import open_project
from debtool.stack.rebuild import rebuild_table
from debtool.stack.wheels import read_lock
from debtool.wheel.bytecode import find_interpreter
from debtool.wheel.fetch import FileCache, fetch
from debtool.wheel.pipconfig import PIP, pip_indexes
from tests.support.stacks import REPOSITORY, debtool

if TYPE_CHECKING:
    from debtool.audit.findings import PackageAudit
    from debtool.model.target import Target
    from debtool.wheel.lock import LockedFile

pytestmark = pytest.mark.slow

SETTING = ("setup-args", "-Dcpu-dispatch=none")
REBUILD = (
    "wheel",
    "rebuild",
    "numpy",
    "--cpu=westmere",
    "--target=bookworm",
    f"--config-setting={'='.join(SETTING)}",
    "--json",
)
OBJECTS_BEFORE_THE_STOP = 40
WORKS = """
import numpy
from numpy.core import _multiarray_umath as core

assert core.__cpu_dispatch__ == [], core.__cpu_dispatch__
numbers = numpy.arange(9.0).reshape(3, 3)
assert (numbers @ numbers).tolist() == [[15, 18, 21], [42, 54, 66], [69, 90, 111]]
assert numpy.sort(numpy.array([3, 1, 2])).tolist() == [1, 2, 3]
"""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A rebuild of which a first run was stopped and a second one went on.

    Attributes:
        code: The first run's exit code.
        said: What it said.
        left: The objects that it had finished, as ninja calls them, with the files that each was made from.
        result: What the second run says of its result.
    """

    code: int
    said: str
    left: dict[str, list[str]]
    result: dict[str, object]

    @property
    def wheel(self) -> Path:
        built = self.result["built"]
        assert isinstance(built, dict)
        return Path(built["file"])


@pytest.fixture(scope="module")
def target() -> Target:
    return open_project(REPOSITORY / "repo/cheesegrater.toml").target("bookworm")


@pytest.fixture(scope="module")
def locked(target: Target) -> LockedFile:
    """The index's own wheel, as the stack's lock has it."""
    lock = read_lock(open_project(REPOSITORY / "repo/cheesegrater.toml"), target)
    return next(entry for entry in lock.files if entry.name == "numpy")


@pytest.fixture(scope="module")
def stopped(locked: LockedFile, tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    folder = tmp_path_factory.mktemp("numpy")
    stack, cache = folder / "acme/stack.toml", folder / "cache"
    debtool("init", str(stack.parent), "--name=acme", "--maintainer=A Tester <tester@example.org>", "--target=bookworm")
    text = re.sub(r"direct = \[.*\]", f'direct = ["numpy=={locked.version}"]', stack.read_text())
    rebuild = Rebuild(
        wheel="numpy", cpu="westmere", targets=("bookworm",), settings=dict([SETTING]), reason="its kernels for AVX2"
    )
    stack.write_text(f"{text}\n{rebuild_table(rebuild)}")
    debtool("--config", str(stack), "--cache", str(cache), "lock", "--target=bookworm")
    project = open_project(stack)
    [entry] = read_lock(project, project.target("bookworm")).files
    assert (entry.is_wheel, entry.cpu) == (False, "westmere")
    fetch_sdist(entry, folder, FileCache.below(cache))
    command = [sys.executable, "-m", "debtool.cli.main", "--config", str(stack), "--cache", str(cache), *REBUILD]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        try:
            work = wait_for_objects(first, cache / "built")
            first.send_signal(signal.SIGTERM)
            _, said = first.communicate(timeout=120)
        finally:
            first.kill()
    [build] = work.glob("source/*/.debtool-build")
    left = {name: read for name, read in recorded(build).items() if (build / name).is_file()}
    result = json.loads(debtool(*command[3:]))
    return Stopped(first.returncode, said, left, result)


def fetch_sdist(entry: LockedFile, folder: Path, files: FileCache) -> None:
    """Put the sdist into debtool's cache as the index has it.

    pip, too, asks a meson project for its metadata by compiling all of it, with whatever it is compiled by default.
    """
    (folder / "requirements.in").write_text(f"{entry.name}=={entry.version}\n")
    command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--no-config", "--no-deps", "--python", sys.executable]
    command += ["--format", "pylock.toml", *pip_indexes().uv_options(), "--output-file", "pylock.toml"]
    subprocess.run([*command, "requirements.in"], cwd=folder, check=True)
    [package] = tomllib.loads((folder / "pylock.toml").read_text())["packages"]
    source = Source(url=package["sdist"]["url"], sha256=entry.sha256)
    file = fetch_source(source, folder, folder / "downloads")
    assert file.name == entry.file
    files.folder.mkdir(parents=True, exist_ok=True)
    files.keep(file, entry.sha256)


def wait_for_objects(process: subprocess.Popen[str], built: Path) -> Path:
    """Return the build's folder as soon as some objects are compiled there."""
    while process.poll() is None:
        for journal in built.glob(".*.work/journal.jsonl"):
            steps = [entry.event for entry in Reader(journal).new() if isinstance(entry.event, Edge)]
            if len(compiled(steps)) >= OBJECTS_BEFORE_THE_STOP:
                return journal.parent
        time.sleep(0.2)
    raise AssertionError(process.communicate())


def recorded(build: Path) -> dict[str, list[str]]:
    """Return the objects that ninja knows to be finished, and the files that were read for each."""
    said = subprocess.run(["ninja", "-t", "deps"], cwd=build, check=True, capture_output=True, text=True).stdout
    blocks = (block.splitlines() for block in said.split("\n\n") if "(VALID)" in block)
    return {head.partition(": #deps")[0]: [line.strip() for line in read] for head, *read in blocks}


def compiled(steps: list[Edge]) -> set[str]:
    """Return the objects that steps of meson's have compiled."""
    return {step.what.rpartition(" object ")[2] for step in steps if step.what.startswith("Compiling ")}


def audit(wheel: Path, cache: Path) -> PackageAudit:
    [found] = audit_paths([wheel], find_baseline("westmere"), load_rules(), cache=cache, jobs=os.cpu_count() or 1)
    return found


def features(found: PackageAudit) -> set[str]:
    """Return what the functions use that the baseline lacks."""
    findings = (finding for file in found.files for finding in file.findings)
    return {feature.name for finding in findings for feature in finding.features}


def test_a_stopped_rebuild_compiles_nothing_twice(stopped: Stopped) -> None:
    assert stopped.code == 130, stopped.said
    assert "run the same command again" in stopped.said
    runs: list[list[Edge]] = []
    events = [entry.event for entry in Reader(stopped.wheel.parent / "journal.jsonl").new()]
    for event in events:
        if isinstance(event, Begin):
            runs.append([])
        elif isinstance(event, Edge):
            runs[-1].append(event)
    assert [event.status for event in events if isinstance(event, End)] == ["interrupted", "done"]
    first, second = map(compiled, runs)
    assert first
    assert second
    assert first <= stopped.left.keys()
    # numpy's own meson writes these headers whenever it configures, and meson-python configures each time: what reads
    # them is made again, as ninja must.
    stays = {name for name, read in stopped.left.items() if not any(file.endswith(".dispatch.h") for file in read)}
    assert len(stays) > OBJECTS_BEFORE_THE_STOP / 4
    assert not second & stays
    # What is at work is told, too.
    jobs = [job for event in events if isinstance(event, Sample) for job in event.jobs]
    assert any(job.what.endswith((".c", ".cpp")) for job in jobs)


def test_it_only_asks_for_avx_where_the_index_s_wheel_has_it(
    stopped: Stopped, locked: LockedFile, target: Target, cache: Path
) -> None:
    lock = read_lock(open_project(REPOSITORY / "repo/cheesegrater.toml"), target)
    [theirs] = fetch(replace(lock, files=(locked,), artefacts=()), target, FileCache.below(cache)).values()
    assert {"AVX", "AVX2", "AVX512F"} <= features(audit(theirs, cache))
    own = audit(stopped.wheel, cache)
    assert any("_multiarray_umath" in file.path for file in own.files)
    # numpy finds out at its start what the CPU has (XGETBV), whatever it is compiled for; nothing else is left.
    assert features(own) == {"XSAVE"}
    assert {finding.name for file in own.files for finding in file.findings} == {"npy_cpu_init"}
    assert own.level is Level.DISPATCH_SAFE
    assert stopped.result["level"] == "dispatch-safe"


def test_it_works(stopped: Stopped, target: Target, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([find_interpreter(target.python), "-m", "venv", "--without-pip", venv], check=True)
    python = str(venv / "bin/python")
    subprocess.run([*PIP, "--python", python, "install", "--quiet", "--no-index", str(stopped.wheel)], check=True)
    subprocess.run([python, "-I", "-c", WORKS], check=True, cwd=tmp_path)
