"""Samples while debtool itself works."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from debtool.build.journal import Journal, Note, Reader, Sample
from debtool.build.sampling import Sampling

if TYPE_CHECKING:
    from pathlib import Path


def test_the_journal_gets_samples_as_long_as_the_context_lasts(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        reader = Reader(journal.path)
        with Sampling(journal, tmp_path, period=0.01):
            deadline = time.monotonic() + 20
            seen: list[Sample] = []
            spent = 0
            while len(seen) < 3 and time.monotonic() < deadline:
                spent += sum(range(20000))  # this process is what works
                seen += [entry.event for entry in reader.new() if isinstance(entry.event, Sample)]
            journal.write(Note("beside it"))
        assert len(seen) >= 3
        assert any(one.build_cpu > 0 for one in seen[1:])
        list(reader.new())
        time.sleep(0.1)
        assert list(reader.new()) == []
