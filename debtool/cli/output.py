"""How commands speak to people: tables and progress, plain where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

# NO_COLOR and terminals without colour are rich's business. A pipe has no width: lines are never broken for one.
out = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 500)
err = Console(stderr=True, highlight=False)

_SILENCE = 10
"""Seconds after which a log hears again that something is done."""


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table; columns whose name starts with ``#`` are numbers and align right."""
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(
            column.removeprefix("#"), justify="right" if column.startswith("#") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    with out.capture() as captured:
        out.print(table)
    # Cells are filled up to their column's width, the last ones too.
    for line in captured.get().splitlines():
        print(line.rstrip(), file=out.file)


class ProgressWatcher:
    """Shows the stages of a release: bars on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[what]}", markup=False, table_column=Column(overflow="ellipsis", no_wrap=True)),
            console=err,
            transient=False,
            disable=not err.is_terminal,
        )
        self._task = None if not err.is_terminal else self._bars.add_task("", visible=False, what="")
        self._name = ""
        self._total: int | None = 0
        self._done = 0
        self._said = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, name: str, total: int | None) -> None:
        """Begin stage ``name`` of ``total`` steps, or of nobody knows how many."""
        self._name, self._total, self._done, self._said = name, total, 0, time.monotonic()
        if err.is_terminal:
            if self._task is not None:
                self._bars.update(self._task, what="")
            self._task = self._bars.add_task(name, total=total, what="")
        else:
            err.print(f"{name}: {total} to do" if total else f"{name} …")

    def reach(self, done: int, total: int, what: str) -> None:
        """Say that ``done`` of ``total`` steps are done, as far as is known by now; ``what`` was the last one."""
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, what=what)
        elif time.monotonic() - self._said > _SILENCE:
            self._said = time.monotonic()
            err.print(f"{self._name}: {done}/{total} ({what})", soft_wrap=True, markup=False)

    def step(self, what: str) -> None:
        """Count one step; ``what`` was done."""
        self._done += 1
        if self._task is not None:
            self._bars.update(self._task, advance=1, what="" if self._done == self._total else what)
        elif self._done == self._total or time.monotonic() - self._said > _SILENCE:
            self._said = time.monotonic()
            count = f"{self._done}/{self._total} " if self._total else ""
            err.print(f"{self._name}: {count}({what})", soft_wrap=True)
