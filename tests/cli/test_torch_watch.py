from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from debtool.build.health import judge
from debtool.build.journal import (
    Begin,
    Edge,
    End,
    Entry,
    Event,
    Job,
    Journal,
    Limit,
    Note,
    Phase,
    Reader,
    Sample,
    encode,
)
from debtool.build.machine import read_machine
from debtool.build.pace import Estimate, estimate, read_history
from debtool.build.progress import Progress
from debtool.build.workplace import Workplace
from debtool.cli.context import Settings
from debtool.cli.torch import torch
from debtool.cli.torch.journals import is_for
from debtool.cli.torch.screen import Moment, bar, draw
from debtool.cli.torch.view import View
from debtool.model.errors import InputError
from debtool.torch.build import FIRST_RECORD
from tests.support.recording import rocm_recording
from tests.support.replay import replay

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = "f\x1b[2J\u202e[bold]\r\n"
GB = 10**9
BEGIN = Begin(
    "torch 2.7.1 for noble",
    os.getpid(),
    read_machine().boot,
    24,
    48 * GB,
    24,
    command="debtool torch build --target noble",
)
SAMPLE = Sample(0.9, 21.0, 48 * GB, 20 * GB, 8 * GB, GB, 0.0, 0.0, 100 * GB, 61.0)


@pytest.fixture(scope="module")
def recorded() -> list[Entry]:
    return list(rocm_recording(pid=os.getpid(), boot=read_machine().boot))


def write(journal: Path, *events: Event, at: float | None = None) -> Path:
    """Append events that happened a moment ago, or at another time."""
    when = time.time() - 1 if at is None else at
    with Journal(journal) as opened:
        for event in events:
            opened.write(event, at=when)
    return journal


def console(*, terminal: bool = False, width: int = 80, height: int = 24) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=width,
        height=height,
        color_system="truecolor" if terminal else None,
        legacy_windows=False,
    )


def said(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def screen_at(recorded: list[Entry], minute: float, width: int = 80, height: int = 24) -> list[str]:
    """The lines of the screen when the recorded build had run for some minutes."""
    progress = Progress()
    for entry in takewhile(lambda entry: entry.time - recorded[0].time <= 60 * minute, recorded):
        progress.take(entry)
    now = progress.last
    moment = Moment(progress, now, "running", judge(progress, now), estimate(progress, now))
    shown = console(width=width, height=height)
    shown.print(draw(moment, shown, width=width, height=height))
    return said(shown).splitlines()


def test_the_screen_while_it_compiles(recorded: list[Entry]) -> None:
    lines = screen_at(recorded, 25)
    assert re.fullmatch(r"torch 2\.7\.1\+rocm6\.3\.noavx for noble-rocm6\.3 +running, 25 min", lines[0])
    assert lines[1] == "phase 6 of 8: compile, 19 min"
    assert lines[2] == "done: preflight 3 s, source 4 min, patch 2 s, hipify 1 min, configure 2 min"
    assert re.fullmatch(r"█+░+ \[3\d\d\d/8642\] \d\d %", lines[3])
    assert re.fullmatch(r"time left: about \d+ min  \(\d+ min to \d h.*\), until \d\d:\d\d  by its pace.*", lines[4])
    text = "\n".join(lines)
    assert re.search(r"processors  █+░* +\d\d%  build 2\d\.\d of 24  8\d °C", text)
    assert re.search(r"memory      █+░+ +\d\d%  [\d.]+ GB of 48 GB  pressure 0 %", text)
    assert re.search(r"jobs        2\d of at most 24   swap 0 B of 8 GB   disk 12\d GB free", text)
    assert re.search(r"Operator\d+\.cpp +cc1plus +\d+ s +\d+ MB", text)
    assert re.search(r"and \d+ more", text)
    assert re.search(r"2\d compilers are at work, the longest on Operator\d+\.cpp for \d+ s\.", text)


def test_the_screen_in_a_quiet_quarter_of_an_hour(recorded: list[Entry]) -> None:
    lines = screen_at(recorded, 56)
    assert "[5748/8642] 66 %" in lines[3]
    told = " ".join(lines[-3:])
    assert "No step has finished for 10 min. That is normal: 24 compilers are at work and use the processor" in told
    assert "flash_fwd_hdim" in told
    assert "°C and may run slower" in told


def test_the_screen_after_a_compiler_was_killed_and_while_some_are_held(recorded: list[Entry]) -> None:
    killed = "\n".join(screen_at(recorded, 72))
    assert "18 jobs" in killed
    assert "of at most 18" in killed
    held = "\n".join(screen_at(recorded, 85, 120, 40))
    assert "14 of at most 18, 4 held" in held
    assert re.search(r"Kernel7718\.hip \(gfx1030\) +held +\d min", held)
    assert "4 of 18 compilers are held until memory is free again; the others go on." in held


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 14), (40, 10), (200, 60), (80, 5)])
def test_the_screen_fits_and_says_how_it_is_doing(recorded: list[Entry], width: int, height: int) -> None:
    for minute in (0, 3, 25, 56, 71, 85, 99.5):
        lines = screen_at(recorded, minute, width, height)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width
        if height >= 10:
            assert lines[0].startswith("torch 2.7.1")
        assert lines[-1].endswith(".")


def test_a_higher_screen_shows_all_compilers(recorded: list[Entry]) -> None:
    lines = screen_at(recorded, 56, 120, 60)
    assert sum("flash_fwd" in line and "clang" in line for line in lines) == 24
    assert not any("more" in line for line in lines)


def test_without_utf_8_bars_are_ascii() -> None:
    assert bar(1.5, 4, "green", fancy=False).plain == "####"
    assert bar(-1, 4, "green", fancy=True).plain == "░░░░"


@given(st.text(), st.text(), st.text(), st.integers(30, 150), st.integers(1, 50))
def test_whatever_files_are_called_the_screen_holds(title: str, name: str, text: str, width: int, height: int) -> None:
    progress = Progress()
    sample = replace(SAMPLE, jobs=(Job(5, name, name, 9, 8, GB), Job(6, "ld", "", 3, 2, GB, paused=True)))
    for event in (replace(BEGIN, title=title), Phase(text, 1, 1), Edge(1, 9, name), Note(text, "warning"), sample):
        progress.take(Entry(1000.0, event))
    moment = Moment(progress, 1000.0, "running", judge(progress, 1000.0), Estimate(9, 8, 99, "history"))
    shown = console(width=width, height=height)
    shown.print(draw(moment, shown, width=width, height=height))
    lines = said(shown).split("\n")[:-1]
    assert len(lines) <= max(height, 4)
    assert all(line.isprintable() for line in lines)


def test_plain_lines_of_the_recorded_build(recorded: list[Entry], tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(map(encode, recorded)))
    shown = console(width=500)
    assert View(journal, console=shown).follow(lambda: False) == "done"
    lines = said(shown).splitlines()
    assert 60 < len(lines) < 200
    assert all(line.isprintable() for line in lines)
    stamped = [line for line in lines if re.match(r"\d\d:\d\d:\d\d ", line)]
    told = [line[9:] for line in stamped]
    assert told[0] == "torch 2.7.1+rocm6.3.noavx for noble-rocm6.3: 24 jobs at most, 48 GB of memory"
    assert "phase 4 of 8: hipify" in told
    assert any(re.match(r"compile: \d+/8642 \(50%\), about \d+ min left \(\d+ min to .*\)", line) for line in told)
    for sentence in (
        "No step has finished for 1 min. That is normal: 24 compilers",
        "No step has finished for 11 min. That is normal: 24 compilers",
        "The machine is swapping: programs wait for memory 17 % of the time",
        "from now on 18 at once at most: Kernel",
        "warning: Kernel",
        "4 of 17 compilers are held",
    ):
        assert any(line.startswith(sentence) for line in told), sentence
    assert lines[-2].startswith(
        "torch 2.7.1+rocm6.3.noavx for noble-rocm6.3: done, after 1 h 40 min of work: torch-2.7.1"
    )
    assert "compile 1 h 32 min" in lines[-1]


def test_plain_lines_tell_of_a_build_that_does_all_again(tmp_path: Path) -> None:
    # The second run's settings are others: where one step was left, a hundred are.
    first, second = [Edge(done, 100, "unit.o") for done in (98, 99)], [Edge(done, 100, "unit.o") for done in range(9)]
    again = replace(BEGIN, pid=2)
    journal = write(
        tmp_path / "journal.jsonl", BEGIN, Phase("compile", 1, 1), *first, again, Phase("compile", 1, 1), *second
    )
    with journal.open("ab") as stream:
        stream.write(encode(Entry(time.time(), End("done", "done"))))
    shown = console(width=200)
    View(journal, plain=True, console=shown).follow(lambda: False)
    told = re.findall(r"compile: (\d+)/100", said(shown))
    assert told[0] == "98"
    assert [int(done) for done in told[1:]] == [2, 4, 6, 8]


def test_a_first_build_is_forecast_by_the_record_that_comes_with_debtool(tmp_path: Path) -> None:
    record = read_history(FIRST_RECORD)
    outputs = sorted(record, key=lambda output: record[output])
    assert len(outputs) > 1300
    # Each of the small ones takes twice as long as there, one at a time.
    journal, now = tmp_path / "build/journal.jsonl", time.time()
    journal.parent.mkdir()
    at = now - 2 * sum(record[output] for output in outputs[:600])
    with Journal(journal) as opened:
        opened.write(BEGIN, at=at)
        opened.write(Phase("compile", 1, 1), at=at)
        for done, output in enumerate(outputs[:600], 1):
            at += 2 * record[output]
            opened.write(Edge(done, len(outputs), f"Building CXX object {output}"), at=at)
    view = View(journal, plain=True, console=console())
    view.read()
    found = view.moment().estimate
    assert found is not None
    left = 2 * sum(record[output] for output in outputs[600:])
    assert (found.basis, round(found.seconds / left, 1)) == ("history", 1.0)


def test_plain_lines_have_nothing_that_terminals_obey(tmp_path: Path) -> None:
    journal = write(
        tmp_path / "journal.jsonl",
        replace(BEGIN, title=HOSTILE, command=HOSTILE),
        Phase(HOSTILE, 1, 1),
        Edge(1, 1, HOSTILE),
        Limit(3, HOSTILE),
        Note(HOSTILE),
        End("failed", HOSTILE),
    )
    for terminal in (False, True):
        shown = console(terminal=terminal)
        View(journal, plain=True, console=shown).follow(lambda: False)
        assert r"f\x1b[2J\u202e[bold]\r\n" in re.sub(r"\x1b\[[\d;]*m", "", said(shown)).replace("\n", "")
        assert "\x1b[2J" not in said(shown)
        assert terminal or said(shown).replace("\n", "").isprintable()


def test_a_terminal_gets_a_screen_and_its_own_back(tmp_path: Path) -> None:
    journal = write(tmp_path / "journal.jsonl", BEGIN, Phase("compile", 1, 1), SAMPLE, End("done", "torch.whl"))
    shown = console(terminal=True)
    View(journal, console=shown).follow(lambda: False)
    assert said(shown).index("\x1b[?1049h") < said(shown).index("\x1b[?1049l") < said(shown).index("torch.whl")


def test_without_colour_the_screen_says_the_same(recorded: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = console(terminal=True)
    progress = Progress()
    for entry in recorded[:3000]:
        progress.take(entry)
    moment = Moment(progress, progress.last, "running", judge(progress, progress.last), None)
    shown.print(draw(moment, shown, width=80, height=24))
    assert not re.search(r"\x1b\[[\d;]*(3|9|38;)[0-7]", said(shown))
    assert "░" in said(shown)


def test_the_view_stops_when_it_is_told_to_and_reads_to_the_end_first(tmp_path: Path) -> None:
    journal = write(tmp_path / "journal.jsonl", BEGIN, Phase("compile", 1, 1))
    shown = console()
    view = View(journal, console=shown)
    stop = threading.Event()
    thread = threading.Thread(target=view.follow, args=(stop.is_set,))
    thread.start()
    write(journal, Note("the last word"))
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert "the last word" in said(shown)


def run(settings: Settings, *arguments: str | Path) -> None:
    torch.main([*map(str, arguments)], prog_name="debtool torch", standalone_mode=False, obj=settings)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "stack.toml", tmp_path / "cache", tmp_path / "data")


def journal_of(settings: Settings, name: str) -> Path:
    return settings.cache / "torch" / name / "journal.jsonl"


def test_status_of_a_running_build(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    write(journal_of(settings, "a"), BEGIN, Phase("compile", 2, 3), Edge(7, 10, "Building CXX object a.o"), SAMPLE)
    run(settings, "status")
    told = capsys.readouterr().out
    assert "phase 2 of 3: compile" in told
    assert "[7/10] 70 %" in told
    assert "running" in told
    assert "to go on" not in told
    assert max(map(len, told.splitlines())) <= 100


def test_status_of_a_build_that_was_killed_says_how_to_go_on(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    journal = write(journal_of(settings, "a"), replace(BEGIN, pid=gone.pid), Phase("compile", 2, 3), at=1000.0)
    write(journal, SAMPLE, at=1600.0)
    run(settings, "status")
    told = capsys.readouterr().out
    assert "torch 2.7.1 for noble: was killed, or the machine went down, after 10 min of work" in told
    assert "to go on from there: debtool torch build --target noble" in told
    write(journal, replace(BEGIN, boot="another", command=""), at=2000.0)
    run(settings, "status", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["runs"], found["seconds"], found["go_on"]) == ("dead", 2, 600.0, None)


def test_status_of_a_build_whose_process_number_is_another_s_now(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = journal_of(settings, "a")
    with Workplace.opened(journal.parent) as place:
        place.mark("source", "digest")
        write(journal, BEGIN, Phase("compile", 2, 3))  # this process lives, and so does its number
        run(settings, "status", "--json")
        assert json.loads(capsys.readouterr().out)["status"] == "running"
    run(settings, "status", "--json")
    assert json.loads(capsys.readouterr().out)["status"] == "dead"
    write(journal_of(settings, "b"), BEGIN, End("done", "torch.whl"), at=time.time() + 60)
    run(settings, "status")
    assert re.search(r"^torch 2\.7\.1 for noble +dead ", capsys.readouterr().out, re.MULTILINE)
    assert View(journal, console=console()).follow(lambda: False) == "dead"


def test_status_as_data(settings: Settings, recorded: list[Entry], capsys: pytest.CaptureFixture[str]) -> None:
    journal = journal_of(settings, "a")
    began = time.time() - 3000
    shift = began - recorded[0].time
    for entry in takewhile(lambda entry: entry.time + shift < time.time(), recorded):
        if not isinstance(entry.event, Sample) or entry.time + shift > time.time() - 20:
            write(journal, entry.event, at=entry.time + shift)
    run(settings, "status", "--json", "--target", "noble-rocm6.3")
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["status"], found["journal"]) == ("torch-status", "running", str(journal))
    assert found["phase"] == {"name": "compile", "number": 6, "of": 8}
    assert found["steps"]["done"] + found["steps"]["left"] == found["steps"]["total"] == 8642
    assert found["time_left"]["low"] < found["time_left"]["seconds"] < found["time_left"]["high"]
    assert found["health"]["state"] == "quiet"
    assert len(found["sample"]["jobs"]) > 10


def test_status_shows_the_newest_and_then_all(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for age, (name, title) in enumerate([("b", "torch 2.7.1 for noble"), ("a", "torch 2.6.0 for noble-rocm6.3")]):
        journal = write(journal_of(settings, name), replace(BEGIN, title=title), Phase("compile", 1, 1))
        write(journal, Edge(3 + age, 10, "Building CXX object a.o"), End("failed", "no room"))
        os.utime(journal, (5000 - age, 5000 - age))
    run(settings, "status")
    told = capsys.readouterr().out
    assert told.startswith("torch 2.7.1 for noble ")
    assert re.search(r"^torch 2\.7\.1 for noble +failed +3/10 ", told, re.MULTILINE)
    assert re.search(r"^torch 2\.6\.0 for noble-rocm6\.3 +failed +4/10 ", told, re.MULTILINE)
    run(settings, "status", "--target", "noble-rocm6.3")
    told = capsys.readouterr().out
    assert told.startswith("torch 2.6.0")
    assert "2.7.1" not in told


@pytest.mark.parametrize("command", ["status", "watch"])
def test_where_there_is_no_build(settings: Settings, command: str) -> None:
    with pytest.raises(InputError, match="there is no build; fix: start one with debtool torch build"):
        run(settings, command)
    with pytest.raises(InputError, match="there is no build for trixie"):
        run(settings, command, "--target", "trixie")


def test_status_of_a_journal_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such journal"):
        run(settings, "status", "--journal", tmp_path / "none.jsonl")


def test_a_target_is_no_part_of_another() -> None:
    assert is_for("torch 2.7.1 for noble-rocm6.3", "noble-rocm6.3")
    assert not is_for("torch 2.7.1 for noble-rocm6.3", "noble")
    assert not is_for("torch 2.7.1 for noble-rocm6.3", "rocm6.3")
    assert is_for("anything", None)


def test_watch_tells_of_a_build_that_has_ended(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    write(journal_of(settings, "a"), BEGIN, Phase("compile", 1, 1), End("interrupted", "asked to stop"))
    run(settings, "watch")
    told = capsys.readouterr().out
    assert "phase 1 of 1: compile" in told
    assert "interrupted, after 0 s of work: asked to stop" in told
    assert "to go on from there: debtool torch build --target noble" in told


def test_commands_have_help_with_examples() -> None:
    for name in ("status", "watch"):
        command = torch.get_command(click.Context(torch), name)
        assert command is not None
        assert command.help is not None
        assert f"debtool torch {name}" in command.help


_PROGRAM = """
import sys
from pathlib import Path
from debtool.cli.context import Settings
from debtool.cli.torch import torch
torch(sys.argv[1:], obj=Settings(Path("stack.toml"), Path("cache"), Path("data")))
"""


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A real ``debtool torch watch`` on a terminal of its own, before there is a journal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", _PROGRAM, "watch", "--journal", str(tmp_path / "journal.jsonl")]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "LANG": "C.UTF-8"}
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=root, env=environment) as process:
        os.close(theirs)
        yield process, ours
        process.kill()
    os.close(ours)


def seen_until(terminal: int, text: str, seconds: float = 60) -> str:
    """Read the terminal until ``text`` is on it."""
    data = b""
    end = time.monotonic() + seconds
    while text.encode() not in data:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"{text!r} never came: {data[-2000:]!r}"
        data += os.read(terminal, 1 << 16)
    return data.decode("utf-8", "replace")


@pytest.mark.slow
def test_a_watch_waits_for_the_build_and_follows_it_to_its_end(
    watcher: tuple[subprocess.Popen[bytes], int], tmp_path: Path, recorded: list[Entry]
) -> None:
    process, terminal = watcher
    seen_until(terminal, "waiting for a build to begin")
    go_on = threading.Event()

    def played() -> Iterator[Entry]:
        for entry in recorded:
            if entry.time - recorded[0].time > 56 * 60:
                go_on.wait(60)
            yield entry

    journal = tmp_path / "journal.jsonl"
    thread = threading.Thread(target=replay, args=(played(), journal), kwargs={"sleep": lambda _: None})
    thread.start()
    seen_until(terminal, "That is normal: 24 compilers are at work")
    go_on.set()
    told = seen_until(terminal, "audit 1 min")
    assert "torch-2.7.1+rocm6.3.noavx-cp312-cp312-linux_x86_64.whl" in told
    assert process.wait(30) == 0
    thread.join(30)


def test_a_journal_is_played_again_in_its_own_rhythm(recorded: list[Entry], tmp_path: Path) -> None:
    pauses: list[float] = []
    began = time.time()
    replay(recorded[:50], tmp_path / "a.jsonl", speed=1e-3, skip=100.0, sleep=pauses.append)
    again = list(Reader(tmp_path / "a.jsonl").new())
    assert [type(entry.event) for entry in again] == [type(entry.event) for entry in recorded[:50]]
    length = recorded[49].time - recorded[0].time
    assert again[-1].time - again[0].time == pytest.approx(length, abs=0.01)
    assert again[0].time == pytest.approx(began, abs=60)
    # Nothing sleeps here, so that each pause is what is left until its entry's own time, however long writing took.
    assert max(pauses) == pytest.approx((length - 100) * 1000, abs=60)
    replay(recorded, tmp_path / "b.jsonl", until=250.0, sleep=lambda _: None)
    assert len(list(Reader(tmp_path / "b.jsonl").new())) == sum(
        entry.time - recorded[0].time <= 250 for entry in recorded
    )


@pytest.mark.slow
def test_ctrl_c_ends_the_watch_and_not_the_build(watcher: tuple[subprocess.Popen[bytes], int], tmp_path: Path) -> None:
    process, terminal = watcher
    write(tmp_path / "journal.jsonl", BEGIN, Phase("compile", 1, 1), SAMPLE)
    seen_until(terminal, "phase ")
    process.send_signal(signal.SIGINT)
    seen_until(terminal, "the watch has ended; the build goes on")
    assert process.wait(30) == 0


@pytest.mark.slow
def test_a_watch_ends_when_the_build_dies(watcher: tuple[subprocess.Popen[bytes], int], tmp_path: Path) -> None:
    process, terminal = watcher
    with subprocess.Popen(["sleep", "60"]) as build:
        write(tmp_path / "journal.jsonl", replace(BEGIN, pid=build.pid), Phase("compile", 1, 1), SAMPLE)
        seen_until(terminal, "phase ")
        build.kill()
    seen_until(terminal, "to go on from there: debtool torch build --target noble")
    assert process.wait(30) == 0
