"""A real wheel compiled from its sdist by CMake and ninja, without its AVX paths: soxr's resampler of audio.

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.audit.baselines import find_baseline
from debtool.audit.findings import Level
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths
from debtool.build.journal import Begin, Edge, End, Reader, Sample
from debtool.build.ninja import output_of
from debtool.stack.project import open_project
from debtool.stack.wheels import read_lock
from debtool.wheel.bytecode import find_interpreter
from debtool.wheel.fetch import FileCache, fetch
from debtool.wheel.pipconfig import PIP
from tests.support.stacks import REPOSITORY, debtool

if TYPE_CHECKING:
    from debtool.audit.findings import PackageAudit
    from debtool.model.target import Target
    from debtool.wheel.lock import Lock

pytestmark = pytest.mark.slow

REQUIRED = "soxr==1.0.0"
REBUILD = (
    "wheel",
    "rebuild",
    "soxr",
    "--cpu=westmere",
    "--target=bookworm",
    # libsoxr's own option for its resampler of doubles in AVX. Without it, it does not ask the CPU for AVX either.
    "--config-setting=cmake.define.WITH_CR64S=OFF",
    "--json",
)
OBJECTS_BEFORE_THE_STOP = 10
WORKS = """
import numpy
import soxr

told = numpy.sin(numpy.arange(4800) * 0.05)  # doubles: what AVX is for
heard = soxr.resample(told, 48000, 24000)
assert (heard.dtype, heard.shape) == (told.dtype, (2400,)), heard
assert abs(heard[200:-200] - told[400:-400:2]).max() < 1e-4
"""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A rebuild of which a first run was stopped and a second one went on.

    Attributes:
        target: What it is for.
        before: The stack's lock before, which has the index's wheel.
        after: Its lock now.
        code: The first run's exit code.
        said: What it said.
        left: The objects that it had finished, as ninja calls them.
        result: What the second run says of its result.
    """

    target: Target
    before: Lock
    after: Lock
    code: int
    said: str
    left: set[str]
    result: dict[str, object]

    @property
    def wheel(self) -> Path:
        built = self.result["built"]
        assert isinstance(built, dict)
        return Path(built["file"])

    def from_index(self, name: str, cache: Path) -> Path:
        """Return the wheel that the index has."""
        files = tuple(entry for entry in self.before.files if entry.name == name)
        [wheel] = fetch(replace(self.before, files=files), self.target, FileCache.below(cache)).values()
        return wheel


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    folder = tmp_path_factory.mktemp("soxr")
    stack, cache = folder / "acme/stack.toml", folder / "cache"
    debtool("init", str(stack.parent), "--name=acme", "--maintainer=A Tester <tester@example.org>", "--target=bookworm")
    stack.write_text(re.sub(r"direct = \[.*\]", f'direct = ["{REQUIRED}"]', stack.read_text()))
    debtool("--config", str(stack), "--cache", str(cache), "lock", "--target=bookworm")
    target = open_project(stack).target("bookworm")
    before = read_lock(open_project(stack), target)
    command = [sys.executable, "-m", "debtool.cli.main", "--config", str(stack), "--cache", str(cache), *REBUILD]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        try:
            work = wait_for_objects(first, cache / "built")
            first.send_signal(signal.SIGTERM)
            _, said = first.communicate(timeout=120)
        finally:
            first.kill()
    [build] = work.glob("source/*/.debtool-build")
    left = {name for name in recorded(build) if (build / name).is_file()}
    result = json.loads(debtool(*command[3:]))
    return Stopped(target, before, read_lock(open_project(stack), target), first.returncode, said, left, result)


def wait_for_objects(process: subprocess.Popen[str], built: Path) -> Path:
    """Return the build's folder as soon as some objects are compiled there."""
    while process.poll() is None:
        for journal in built.glob(".*.work/journal.jsonl"):
            steps = [entry.event for entry in Reader(journal).new() if isinstance(entry.event, Edge)]
            if len(compiled(steps)) >= OBJECTS_BEFORE_THE_STOP:
                return journal.parent
        time.sleep(0.2)
    raise AssertionError(process.communicate())


def recorded(build: Path) -> set[str]:
    """Return the objects that ninja knows to be finished."""
    said = subprocess.run(["ninja", "-t", "deps"], cwd=build, check=True, capture_output=True, text=True).stdout
    return {block.partition(": #deps")[0] for block in said.split("\n\n") if "(VALID)" in block}


def compiled(steps: list[Edge]) -> set[str]:
    """Return the objects that steps of CMake's have compiled."""
    return {output_of(step.what) for step in steps if step.what.startswith("Building ")}


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
    assert len(first) >= OBJECTS_BEFORE_THE_STOP
    assert second
    assert first <= stopped.left
    assert not second & stopped.left
    # What is at work is told, too.
    jobs = [job for event in events if isinstance(event, Sample) for job in event.jobs]
    assert any(job.what.endswith((".c", ".cpp")) for job in jobs)


def test_its_sdist_takes_the_place_of_the_index_s_wheel(stopped: Stopped) -> None:
    [wheel] = (entry for entry in stopped.before.files if entry.name == "soxr")
    [sdist] = (entry for entry in stopped.after.files if entry.name == "soxr")
    assert (wheel.is_wheel, wheel.cpu) == (True, None)
    assert (sdist.is_wheel, sdist.cpu, sdist.version) == (False, "westmere", wheel.version)


def test_it_is_free_of_the_avx_that_the_index_s_wheel_has(stopped: Stopped, cache: Path) -> None:
    theirs = audit(stopped.from_index("soxr", cache), cache)
    assert {"AVX", "XSAVE"} <= features(theirs)
    assert theirs.level is not Level.FREE
    own = audit(stopped.wheel, cache)
    assert any("soxr_ext" in file.path for file in own.files)
    assert features(own) == set()
    assert own.level is Level.FREE
    assert stopped.result["level"] == "free"


def test_it_works(stopped: Stopped, cache: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([find_interpreter(stopped.target.python), "-m", "venv", "--without-pip", venv], check=True)
    python = str(venv / "bin/python")
    wheels = [str(stopped.wheel), str(stopped.from_index("numpy", cache))]
    subprocess.run([*PIP, "--python", python, "install", "--quiet", "--no-index", *wheels], check=True)
    subprocess.run([python, "-I", "-c", WORKS], check=True, cwd=tmp_path)
