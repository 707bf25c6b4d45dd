from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from debtool.cli.main import run
from tests.stack.conftest import workshop as workshop  # noqa: PLC0414 -- the fixture of that folder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str


class Program(Protocol):
    """Runs the program in this process, as its script does."""

    def __call__(self, *arguments: str | Path) -> Done: ...


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Program:
    """Run ``debtool`` with a cache of its own."""
    monkeypatch.setenv("DEBTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEBTOOL_CONFIG", raising=False)

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["debtool", *map(str, arguments)])
        code = 0
        try:
            run()
        except SystemExit as done:
            code = int(done.code or 0)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call
