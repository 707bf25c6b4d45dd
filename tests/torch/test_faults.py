"""Builds to which harm is done: each is gone on with, does nothing twice, and ends in the same wheel."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from debtool.build.journal import Begin, decode, encode
from tests.support.limits import ballast, limit_memory, memory_group, small_disk
from tests.support.torch_faults import Bench, Run, is_gone, objects
from tests.support.torch_tree import make_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from debtool.build.control_group import MemoryGroup

pytestmark = pytest.mark.slow

MIB = 2**20
WIDE = 200
"""MiB that the compiler takes for each of the wide units."""
BASE = 100
"""MiB that are enough for all else: debtool, its keeper, ninja."""
# make_tree's units by their numbers: plain ones first, then slow ones, then wide ones.
PLAIN, SLOW, WIDES = "Unit00[0-5].cpp", "Unit00[6-9].cpp", "Unit01*.cpp"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("source") / "pytorch", units=6, slow=4, memory=WIDE, wide=2)


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The SHA-256 of the wheel that nobody does any harm to, built in another folder than all others."""
    return Bench(source, tmp_path_factory.mktemp("undisturbed") / "cache").start().done()


@pytest.fixture(scope="module")
def place(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The one place in which harm is done: what is built knows its path."""
    return Bench(source, tmp_path_factory.mktemp("place") / "cache")


@pytest.fixture(scope="module")
def compiled(place: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the build's folder when all is compiled and nothing packed."""
    run = place.start()
    try:
        run.until_phase("wheel")
        run.process.terminate()
        assert run.wait() == 130
    finally:
        run.clean_up()
    copy = tmp_path_factory.mktemp("copies") / "compiled"
    place.copy(copy)
    return copy


@pytest.fixture
def bench(place: Bench, compiled: Path) -> Iterator[Bench]:
    """A build of which the plain and the slow units are to be compiled."""
    place.restore(compiled, PLAIN, SLOW)
    yield place
    for process in place.running():
        os.kill(process.pid, signal.SIGKILL)
    assert place.quiet()


def half_compiled(bench: Bench) -> Run:
    """Start the build and let it come to where some units are compiled and slow ones are being."""
    run = bench.start()
    run.until(lambda: any("Unit006" in name for name in run.compiled))
    run.until_at_work("Unit00")
    return run


def goes_on(bench: Bench, first: Run) -> Run:
    """Go on by what ``status`` says, to the end; nothing that was compiled is compiled again."""
    before = first.compiled
    assert len(before) > 6
    run = bench.go_on()
    assert run.wait() == 0, run.said()
    after = run.compiled
    assert after, "nothing was left to be compiled: the harm came too late"
    assert not {*before} & {*after}
    assert len(after) == len({*after})
    # A unit that was finished while nobody read any more is in neither.
    assert 10 - 2 <= len(before) + len(after) <= 10
    return run


def test_debtool_is_killed(bench: Bench, undisturbed: str) -> None:
    first = half_compiled(bench)
    assert bench.status()["status"] == "running"
    assert first.kill()
    assert bench.quiet()
    assert bench.status()["status"] == "dead"
    goes_on(bench, first)
    assert bench.status()["status"] == "done"
    assert bench.wheel() == undisturbed


def test_debtool_and_its_keeper_are_killed_in_one_moment(bench: Bench, undisturbed: str) -> None:
    first = half_compiled(bench)
    ran = first.kill(keeper=True)
    assert "ninja" in [process.name for process in ran]
    assert bench.status()["status"] == "dead"
    run = bench.go_on()
    run.until(lambda: run.events)
    # What nobody was left to end has ended by now: two would write the same files.
    assert all(is_gone(process) for process in ran)
    assert run.done() == undisturbed
    assert not {*first.compiled} & {*run.compiled}


def test_a_compiler_is_killed(bench: Bench, undisturbed: str) -> None:
    run = bench.start()
    victim = run.until_at_work("Unit006")
    os.kill(victim.pid, signal.SIGKILL)
    assert run.done() == undisturbed
    assert run.notes.count("Unit006.cpp.o was killed, and is done again") == 1
    assert "warning: Unit006.cpp.o was killed, and is done again" in run.said()
    assert run.limits == []
    # ninja counts a step that fails, too.
    times = Counter(path.rpartition("/")[2] for path in run.compiled)
    assert len(times) == 10
    assert {name for name, number in times.items() if number > 1} == {"Unit006.cpp.o"}
    assert (bench.folder / "build.log").read_text().count("+ ninja -j 2 install\n") == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_somebody_asks_it_to_stop(bench: Bench, undisturbed: str, number: signal.Signals) -> None:
    first = half_compiled(bench)
    os.killpg(first.process.pid, number)  # as a terminal does
    assert first.wait() == 130
    assert not bench.running()
    [complaint] = first.complaints()
    assert "the build was asked to stop; fix: run the same command again: it goes on where this stopped" in complaint
    assert "Traceback" not in first.said()
    status = bench.status()
    assert (status["status"], status["text"]) == (
        "interrupted",
        "run the same command again: it goes on where this stopped",
    )
    goes_on(bench, first)
    assert bench.wheel() == undisturbed


def test_a_second_build_of_the_same_is_refused(bench: Bench) -> None:
    run = bench.start()
    run.until_at_work("Unit006")
    second = replace(bench.start(), output=run.output)
    assert second.wait() == 2
    [complaint] = second.complaints()
    assert re.search(
        r"is being built by another process; fix: wait for it \(debtool torch watch .*\), or end it$", complaint
    )
    assert "Traceback" not in second.said()
    assert bench.status()["status"] == "running"
    assert [event.pid for event in run.events if isinstance(event, Begin)] == [run.process.pid]
    run.process.terminate()
    assert run.wait() == 130


@pytest.fixture
def leave(place: Bench, compiled: Path) -> Iterator[Callable[[int | None], None]]:
    """The build on a disk of its own, and what leaves so many bytes free there."""
    with small_disk(place.cache) as leave:
        place.restore(compiled, PLAIN, SLOW)
        yield leave


@pytest.mark.root
@pytest.mark.parametrize(
    ("phase", "free"), [("compile", 100 * MIB), ("compile", 4096), ("audit", 4096)], ids=["low", "full", "at the end"]
)
def test_the_disk_is_full(
    leave: Callable[[int | None], None], place: Bench, undisturbed: str, phase: str, free: int
) -> None:
    run = place.start()
    run.until_phase(phase)
    if phase == "compile":
        run.until_at_work("Unit00")
    leave(free)
    assert run.wait() == 3, run.said()
    assert not place.running()
    [complaint] = run.complaints()
    assert "the disk is full; fix: make room there, then run the same command again: it goes on where" in complaint
    assert "Traceback" not in run.said()
    status = place.status()
    # Where not a byte is left, the journal cannot say how the run has ended.
    assert status["status"] in ({"failed"} if free > MIB else {"failed", "dead"})
    if status["status"] == "failed":
        assert "the disk is full" in status["text"]
    leave(None)
    again = place.go_on()
    assert again.done() == undisturbed
    assert not {*run.compiled} & {*again.compiled}


@pytest.fixture
def group(place: Bench, compiled: Path) -> Iterator[MemoryGroup]:
    """A control group for a build of which the wide units are to be compiled."""
    with memory_group(f"debtool-test-{os.getpid()}") as group:
        if group is None:
            pytest.skip("this machine's control groups for memory cannot be written to")
        place.restore(compiled, WIDES)
        yield group
        for process in place.running():
            os.kill(process.pid, signal.SIGKILL)


@pytest.mark.root
def test_the_kernel_kills_a_compiler_for_memory(group: MemoryGroup, place: Bench, undisturbed: str) -> None:
    run = place.start(group=group.folder)
    run.until_phase("compile")
    limit_memory(group, (BASE + WIDE + 80) * MIB)
    assert run.done() == undisturbed
    assert group.oom_kills >= 1
    assert run.limits == [1]
    [told] = [note for note in run.notes if "killed for memory" in note]
    assert re.fullmatch(r"Unit01[01]\.cpp\.o was killed for memory: it goes on with 1 job at once", told)
    assert f"warning: {told}" in run.said()
    assert sorted(Counter(run.compiled).values()) == [1, 2]  # ninja counts a step that fails, too


@pytest.mark.root
def test_the_memory_is_too_little_for_a_single_compiler(group: MemoryGroup, place: Bench, undisturbed: str) -> None:
    run = place.start(group=group.folder)
    run.until_phase("compile")
    limit_memory(group, (BASE + WIDE // 2) * MIB)
    assert run.wait() == 3, run.said()
    assert not place.running()
    assert run.limits == [1]
    [complaint] = run.complaints()
    assert re.search(
        r"Unit01[01]\.cpp\.o was killed for memory while nothing else was compiled; fix: add swap", complaint
    )
    status = place.status()
    assert status["status"] == "failed"
    assert "add swap" in status["text"]
    assert place.go_on().done() == undisturbed


@pytest.mark.root
def test_a_job_is_held_while_memory_is_short(group: MemoryGroup, place: Bench, undisturbed: str) -> None:
    """The limit stays a little above what the group has, until one job is held; then there is room for both."""

    def held() -> bool:
        limit_memory(group, round(group.used / 0.92))
        return any(note.endswith("is held until there is room") for note in run.notes)

    # With a gigabyte of something else in the group, the little is more than compilers take between two looks.
    with ballast(group, 1024 * MIB):
        run = place.start(group=group.folder)
        run.until(lambda: sum(process.name == "cc1plus" for process in place.running()) == 2)
        run.until(held)
        limit_memory(group, group.used + 2 * WIDE * MIB)
        assert run.done() == undisturbed
    assert (group.oom_kills, run.limits) == (0, [])
    assert [re.sub("Unit01[01]", "it", note) for note in run.notes if "Unit" in note] == [
        "memory is short: it.cpp is held until there is room",
        "it.cpp goes on",
    ]


def test_the_power_fails(bench: Bench, undisturbed: str) -> None:
    """What was written last is not on the disk, or only in parts; names, times and logs say that it is."""
    first = half_compiled(bench)
    first.kill()
    assert bench.quiet()
    halved, zeroed, emptied = (next(bench.build.rglob(f"{name}.cpp.o")) for name in ("Unit010", "Unit011", "Operators"))
    os.truncate(halved, halved.stat().st_size // 2)
    zeroed.write_bytes(bytes(zeroed.stat().st_size))
    emptied.write_bytes(b"")
    # What neither ninja nor the linker would miss: a source that was generated, of an object that is not there, and
    # what is installed already.
    generated = next(bench.build.rglob("RegisterUnits.cpp"))
    next(bench.build.rglob("RegisterUnits.cpp.o")).unlink()
    for path in (generated, bench.tree / "torch/lib/libc10.so", next(bench.tree.glob("torch/include/**/*.h"))):
        times = path.stat()
        path.write_bytes(b"")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for name in (".ninja_log", ".ninja_deps"):
        log = bench.build / name
        os.truncate(log, log.stat().st_size * 2 // 3 + 1)
    another_boot(bench)
    assert bench.status()["status"] == "dead"
    run = bench.go_on()
    assert run.done() == undisturbed
    [told] = [note for note in run.notes if note.startswith("the machine went down: ")]
    assert re.search(r": \d+ files of its last minute are made again$", told)
    assert f"warning: {told}" in run.said()
    assert {path.name for path in (halved, zeroed, emptied)} <= {path.rpartition("/")[2] for path in run.compiled}


def another_boot(bench: Bench) -> None:
    """Let the journal be of an earlier boot of the machine, and end within a line."""
    journal = bench.folder / "journal.jsonl"
    entries = [entry for line in journal.read_bytes().splitlines(keepends=True) if (entry := decode(line)) is not None]
    before = [
        replace(entry, event=replace(entry.event, boot="another")) if isinstance(entry.event, Begin) else entry
        for entry in entries
    ]
    *lines, last = map(encode, before)
    journal.write_bytes(b"".join(lines) + last[: len(last) // 2])
    (bench.folder / "steps" / "boot").write_text("another")


def test_it_is_killed_while_the_wheel_is_packed(place: Bench, compiled: Path, undisturbed: str) -> None:
    place.restore(compiled)
    licence = place.tree / "LICENSE"
    length = licence.stat().st_size
    run = place.start()
    run.until(lambda: licence.stat().st_size > length)
    run.kill()
    assert place.quiet()
    assert licence.stat().st_size > length
    assert place.status()["status"] == "dead"
    assert place.go_on().done() == undisturbed


def test_it_is_killed_again_and_again(place: Bench, undisturbed: str) -> None:
    """Ten times, in each phase of a build that begins with nothing, at a random moment of it."""
    chance = random.Random(5)  # noqa: S311 -- nothing secret
    place.clear()
    for phase in ("source", "environment", "configure", *["compile"] * 4, "wheel", "audit", "keep"):
        run = place.start()
        run.until_phase(phase)
        if phase == "compile":
            run.until_compiled(chance.randint(1, 4))
        time.sleep(chance.uniform(0, 0.5))
        assert run.process.poll() is None, "it was done before it was killed"
        run.kill(keeper=chance.random() < 0.5)
        assert place.status()["status"] == "dead"
    assert place.start().done() == undisturbed
    found = [output for events in place.runs() for output in objects(events)]
    assert len(place.runs()) == 11
    assert len(found) == len({*found})
