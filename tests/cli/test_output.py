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
        watcher.reach(1, 10, "a.so")
        watcher.reach(2, 12, "[b].so")
        watcher.reach(3, 12, "c.so")
    assert capsys.readouterr().err.splitlines() == ["audit …", "audit: 2/12 ([b].so)"]
