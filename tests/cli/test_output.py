from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from debtool.cli.output import ProgressWatcher

if TYPE_CHECKING:
    import pytest


def test_a_log_hears_now_and_then_what_is_being_worked_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = itertools.count(step=6)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    with ProgressWatcher() as watcher:
        watcher.stage("audit", None)
        watcher.tell("a.so 10%")
        watcher.tell("a.so [20%]")
        watcher.step("a.so")
    assert capsys.readouterr().err.splitlines() == ["audit …", "audit: a.so [20%]"]
