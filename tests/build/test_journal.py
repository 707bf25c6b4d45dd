"""Journals: written line by line, read while they grow, torn where a build was killed."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    decode,
    encode,
)

if TYPE_CHECKING:
    from pathlib import Path

_texts = st.text(st.characters(exclude_categories=()), max_size=40)
_counts = st.integers(0, 2**50)
_seconds = st.floats(0, 1e9)
_jobs = st.builds(Job, _counts, _texts, _texts, _seconds, _seconds, _counts, st.booleans())
_percents = st.none() | st.floats(0, 100)
_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Begin, _texts, _counts, _texts, _counts, _counts, _counts),
    st.builds(Phase, _texts, _counts, _counts, st.booleans()),
    st.builds(Edge, _counts, _counts, _texts),
    st.builds(
        Sample,
        _seconds,
        _seconds,
        _counts,
        _counts,
        _counts,
        _counts,
        _percents,
        _percents,
        _counts,
        _percents,
        st.lists(_jobs, max_size=3).map(tuple),
    ),
    st.builds(Limit, _counts, _texts),
    st.builds(Note, _texts, st.sampled_from(["info", "warning"])),
    st.builds(End, st.sampled_from(["done", "failed", "interrupted"]), _texts),
)


@given(_events, st.floats(0, 4e9).map(lambda moment: round(moment, 3)))
def test_what_is_written_is_read(event: Event, moment: float) -> None:
    line = encode(Entry(moment, event))
    assert line.count(b"\n") == 1
    assert decode(line) == Entry(moment, event)


@given(st.binary(max_size=200))
def test_whatever_stands_there_is_no_error(line: bytes) -> None:
    decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"t": 1, "kind": "edge", "done": 1, "to',
        b'{"t": 1, "kind": "sunset", "text": "of a newer debtool"}',
        b'{"t": 1, "kind": "edge", "done": 1}',
        b'{"kind": "note", "text": "when?"}',
        b"[]",
        b"",
    ],
)
def test_lines_without_a_meaning_are_passed_over(line: bytes) -> None:
    assert decode(line) is None


def test_a_newer_debtools_further_values_are_passed_over() -> None:
    line = b'{"t": 1, "kind": "note", "text": "a", "level": "info", "colour": "red"}'
    assert decode(line) == Entry(1, Note("a"))


def test_a_journal_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    with Journal(path) as journal:
        reader = Reader(path)
        assert list(reader.new()) == []
        journal.write(Note("one"), at=1)
        journal.write(Note("two"), at=2)
        assert [entry.event for entry in reader.new()] == [Note("one"), Note("two")]
        journal.write(Note("three"), at=3)
        assert list(reader.new()) == [Entry(3, Note("three"))]
        assert list(reader.new()) == []


def test_a_torn_line_is_ended_by_the_next_run_and_costs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode(Entry(1, Note("whole"))) + b'{"t": 2, "kind": "no')
    reader = Reader(path)
    assert [entry.event for entry in reader.new()] == [Note("whole")]
    with Journal(path) as journal:
        journal.write(Note("again"), at=3)
    assert list(reader.new()) == [Entry(3, Note("again"))]
    assert [entry.event for entry in Reader(path).new()] == [Note("whole"), Note("again")]


def test_a_full_disk_stops_no_build(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.write(Note("kept"))
        size = path.stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Python ignores SIGXFSZ, so a write beyond the limit fails as one to a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            journal.write(Note("lost"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.write(Note("goes on"))
    assert [entry.event for entry in Reader(path).new()] == [Note("kept"), Note("goes on")]
