"""A build for whoever watches: drawn on a terminal, told in lines elsewhere, both from its journal alone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from debtool.build.health import judge
from debtool.build.journal import Reader
from debtool.build.machine import read_machine
from debtool.build.pace import estimate, human_time, nearest_history, read_history
from debtool.build.progress import Progress
from debtool.cli.output import err
from debtool.cli.torch.journals import status_of
from debtool.cli.torch.plain import PlainLines
from debtool.cli.torch.screen import COLOURS, Moment, draw, note_line
from debtool.model.text import amount, visible
from debtool.torch.build import FIRST_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from rich.console import Console, Group

    from debtool.build.builder import Builder
    from debtool.build.progress import Status

_PERIOD = 0.5
_LAST_LOOK = 3.0
"""Seconds that the view of a build has to read its end from the journal, which a full disk may have kept out of it."""


class View:
    """What people see of the build that writes ``journal``.

    Args:
        journal: The journal; it need not be there yet.
        plain: Lines for a log, even on a terminal.
        history: The seconds that outputs took in an earlier build; None looks for a record beside the journal, and
            takes the one that comes with debtool if there is none.
        console: Where to; None means standard error, as all progress.

    Attributes:
        progress: The state, as far as it was read.
        boot: This boot of the machine.
    """

    def __init__(
        self,
        journal: Path,
        *,
        plain: bool = False,
        history: Mapping[str, float] | None = None,
        console: Console | None = None,
    ) -> None:
        self.progress = Progress()
        self._journal = journal
        self._console = console or err
        self._plain = plain or not self._console.is_terminal or self._console.is_dumb_terminal
        if history is None:
            history = read_history(nearest_history(journal) or FIRST_RECORD)
        self._history = history
        self._reader = Reader(journal)
        self._lines = PlainLines(self.progress, history)
        self.boot = read_machine().boot

    def follow(self, stop: Callable[[], bool]) -> Status:
        """Show the build until ``stop()``, or until it has ended or died; return what it was at then.

        A build that shows itself calls this after its run's beginning is in the journal: before, the end of an earlier
        run would be taken for its own.
        """
        if self._plain:
            status = self._until(stop, lambda: None, self._say)
        else:
            # The terminal's other screen: a frame that a changed size has torn does not stay in the scrollback.
            with Live(console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
                status = self._until(stop, lambda: live.update(self._frame(), refresh=True), lambda _: None)
        self.close(status)
        return status

    def read(self) -> None:
        """Take what is new in the journal."""
        self._take(lambda _: None)

    def moment(self) -> Moment:
        """Return what there is to show."""
        # A journal that is played again runs ahead of the clock.
        now = max(time.time(), self.progress.last)
        status = self._status()
        if status != "running":
            return Moment(self.progress, self.progress.last, status, None, None)
        found = estimate(self.progress, now, self._history)
        return Moment(self.progress, now, status, judge(self.progress, now), found)

    def close(self, status: Status) -> None:
        """Say how the build ended, and how to go on with one that did not end well."""
        progress, console = self.progress, self._console
        if status in {"running", "waiting"}:
            return
        if not self._plain:
            for when, note in progress.notes:
                if note.level == "warning":
                    console.print(note_line(when, note))
        how = {"dead": "was killed, or the machine went down"}.get(status, status)
        line = Text(f"{visible(progress.title)}: ").append(how, COLOURS[status])
        line.append(f", after {human_time(progress.elapsed(progress.last))} of work")
        if len(progress.runs) > 1:
            line.append(f" in {amount(len(progress.runs), 'run')}")
        if progress.ended is not None and progress.ended.text:
            line.append(f": {visible(progress.ended.text)}")
        console.print(line, soft_wrap=self._plain)
        phases = ", ".join(
            f"{one.name} {human_time(one.seconds(progress.last))}" for one in progress.stages if not one.kept
        )
        console.print(Text(visible(phases), "bright_black"), soft_wrap=self._plain)
        if status != "done":
            command = visible(progress.runs[-1].begin.command) or "the same `debtool torch build …` command"
            console.print(Text(f"to go on from there: {command}"), soft_wrap=True)

    def _until(self, stop: Callable[[], bool], show: Callable[[], None], say: Callable[[str], None]) -> Status:
        while True:
            stopped = stop()  # asked first: what was written until then is still shown
            self._take(say)
            show()
            status = self._status()
            if stopped or status not in {"running", "waiting"}:
                self._take(say)  # a build that has ended in the meantime said how before its process was gone
                return self._status()
            time.sleep(_PERIOD)

    def _status(self) -> Status:
        return status_of(self.progress, self._journal, self.boot)

    def _take(self, say: Callable[[str], None]) -> None:
        try:
            for entry in self._reader.new():
                self.progress.take(entry)
                for line in self._lines.of(entry) if self._plain else ():
                    say(line)
        except FileNotFoundError:
            return

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def _frame(self) -> Group | Text:
        size = self._console.size
        if not self.progress.runs:
            return Text(f"waiting for a build to begin ({visible(str(self._journal))}); Ctrl-C ends the watch")
        return draw(self.moment(), self._console, width=size.width, height=size.height)


class Shown:
    """Shows a build, from its journal, until that says that it has ended; a context manager."""

    def __init__(self, builder: Builder, *, plain: bool) -> None:
        self._done = threading.Event()
        view = View(builder.workplace.journal, plain=plain)
        view.read()  # what earlier runs did was told by them
        self._thread = threading.Thread(target=view.follow, args=(self._done.is_set,))

    def begin(self) -> None:
        """Begin, when the run has begun in the journal: before, the end of an earlier one would count as its own."""
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._thread.join(_LAST_LOOK)
            self._done.set()
            self._thread.join()
