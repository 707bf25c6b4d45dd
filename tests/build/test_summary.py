from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.build.journal import Begin, Edge, End, Entry, Event, Job, Journal, Limit, Note, Phase, Sample, encode
from debtool.build.plot import BOTTOM, LEFT, RIGHT, TOP, Series, Timeline, make_plot
from debtool.build.summary import write_summary
from debtool.model.errors import InputError
from tests.audit.test_page import Page
from tests.support.audits import HOSTILE
from tests.support.recording import rocm_recording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GB = 10**9
BEGIN = Begin("torch 2.7.1 for noble", 77, "boot", 8, 32 * GB, 8)
SAMPLE = Sample(
    0.9, 7.5, 32 * GB, 20 * GB, 8 * GB, GB, 0.0, 0.0, 100 * GB, 61.0, (Job(5, "cc1plus", "a.cpp", 9, 8, GB),)
)


def page_of(tmp_path: Path, *events: tuple[float, Event]) -> tuple[Page, str]:
    journal = tmp_path / "journal.jsonl"
    journal.unlink(missing_ok=True)
    with Journal(journal) as opened:
        for when, event in events:
            opened.write(event, at=when)
    return read(journal, tmp_path)


def read(journal: Path, tmp_path: Path) -> tuple[Page, str]:
    out = tmp_path / "summary.html"
    write_summary(journal, out)
    data = out.read_bytes()
    return Page(data), data.decode()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "recorded.jsonl"
    path.write_bytes(b"".join(map(encode, rocm_recording())))
    return path


def test_the_recorded_build_as_a_page(recorded: Path, tmp_path: Path) -> None:
    page, text = read(recorded, tmp_path)
    assert "torch-2.7.1+rocm6.3.noavx-cp312-cp312-linux_x86_64.whl" in page.text
    for name, value in {
        "worked": "1 h 40 min",
        "steps": "8,642",
        "machine": "24 processors, 48 GB of memory",
        "jobs at once": "18 to 24",
        "hottest": "93 °C",
    }.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    cells = [re.sub(r"<[^>]*>", "|", row) for row in re.findall(r"<tr>.*</tr>", text)]
    assert "||flash_fwd_hdim96.hip (gfx1030)||clang||13 min||1.74 GB||" in cells
    assert [row.split("|")[-3] for row in cells if row.startswith("||compile|")] == ["1 h 32 min"]
    assert sum("was killed for memory" in row and "|warning|" in row for row in cells) == 1
    assert len(text) < 120_000


def test_every_plot_says_what_it_shows_to_whoever_cannot_see_it(recorded: Path, tmp_path: Path) -> None:
    page, _ = read(recorded, tmp_path)
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    named = {attributes.get("id") for tag, attributes in page.elements if tag in {"title", "desc"}}
    assert [str(drawing["aria-labelledby"]).split()[0] for drawing in drawings] == [
        "memory-title",
        "jobs-title",
        "pace-title",
        "cpu-title",
    ]
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(str(drawing["aria-labelledby"]).split()) <= named
    assert "held for memory, at most 4; allowed at once, at most 24." in page.text


def test_a_single_sample_is_a_dot(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, (100.0, BEGIN), (100.0, Phase("compile", 1, 1)), (100.0, SAMPLE))
    paths = [str(attributes["d"]) for tag, attributes in page.elements if tag == "path"]
    assert f"M{LEFT} 104.5L{LEFT + 1.5} 104.5V{BOTTOM}H{LEFT}Z" in paths  # 12 of 32 GB
    assert "not ended" in page.text


def test_a_build_that_was_refused_at_once_has_a_page(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, (100.0, BEGIN), (101.0, End("failed", "there is no compiler")))
    assert "there is no compiler" in page.text
    assert "What took longest" not in page.text


def test_a_journal_without_a_build_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="no build is told of in it"):
        write_summary(tmp_path / "empty.jsonl", tmp_path / "a.html")
    with pytest.raises(InputError, match="there is no such file"):
        write_summary(tmp_path / "none.jsonl", tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_the_time_between_two_runs_is_a_narrow_gap(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        (0.0, BEGIN),
        (0.0, Phase("compile", 1, 1)),
        (10.0, SAMPLE),
        (1000.0, SAMPLE),
        (50_000.0, replace(BEGIN, jobs=4)),
        (50_000.0, Phase("compile", 1, 1)),
        (50_010.0, SAMPLE),
        (51_000.0, End("done", "a.whl")),
    )
    (gap, *_) = page.classes("gap")
    assert float(str(gap["width"])) < 20
    assert "13 h 37 min between two runs" in page.text
    assert "2, with 13 h 37 min between them" in page.text
    _, limit = (str(path["d"]) for path in page.classes("limit") if "d" in path)
    assert limit.count("M") == 2  # nothing is drawn across the gap


@pytest.mark.slow
def test_a_hundred_thousand_samples_make_a_page_of_the_same_size(tmp_path: Path) -> None:
    def lines() -> Iterator[bytes]:
        yield encode(Entry(0.0, BEGIN)) + encode(Entry(0.0, Phase("compile", 1, 1)))
        sample = encode(Entry(12345.5, SAMPLE)).decode()
        for number in range(100_000):
            now = 5 * number
            unit = f'"unit{number // 10}.cpp", "seconds": {now % 50}'
            line = sample.replace("12345.5", str(now)).replace('"a.cpp", "seconds": 9', unit)
            yield line.replace(f'"memory_available": {20 * GB}', f'"memory_available": {number % 30 * GB}').encode()
            edge = Edge(number + 1, 100_000, f"Building CXX object unit{number}.o")
            yield encode(Entry(now + 1, edge))
            if number % 100 == 0:
                yield encode(Entry(now + 2, Note(f"note {number}")))

    journal = tmp_path / "long.jsonl"
    with journal.open("wb") as stream:
        stream.writelines(lines())
    page, text = read(journal, tmp_path)
    assert len(text) < 200_000
    assert "steps100,000" in page.text.replace("\n", "")
    assert "700 earlier ones" in page.text
    assert text.count(".cpp</td>") == 20
    assert "<dt>peak memory</dt><dd>32 GB</dd>" in text
    for tag, attributes in page.elements:
        if tag == "path":
            assert str(attributes["d"]).count("L") <= 401


def test_what_strangers_wrote_is_text_and_nothing_is_loaded_or_run(tmp_path: Path) -> None:
    page, text = page_of(
        tmp_path,
        (0.0, replace(BEGIN, title=HOSTILE)),
        (0.0, Phase(HOSTILE, 1, 1)),
        (5.0, replace(SAMPLE, jobs=(Job(5, HOSTILE, HOSTILE + "\udcff", 9, 8, GB),))),
        (6.0, Note(HOSTILE, "warning")),
        (7.0, Limit(2, HOSTILE)),
        (99.0, End("failed", HOSTILE)),
    )
    assert {tag for tag, _ in page.elements} & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "base",
        "a",
        "use",
    } == set()
    loading = {"src", "href", "xlink:href", "srcset", "onclick", "onload", "action"}
    assert not [attributes for _, attributes in page.elements if attributes.keys() & loading]
    assert "url(" not in text
    assert "@import" not in text
    assert "\u202e" not in text
    assert "f<script>alert(1)</script>" in page.text


def test_the_same_journal_gives_the_same_page(recorded: Path, tmp_path: Path) -> None:
    assert read(recorded, tmp_path)[1] == read(recorded, tmp_path)[1]


SPANS = st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), min_size=1, max_size=40)


@given(SPANS, st.lists(st.floats(-1e6, 1e8), max_size=20))
def test_later_is_further_right_and_always_in_the_plot(spans: list[tuple[float, float]], moments: list[float]) -> None:
    runs, end = [], 0.0
    for pause, length in spans:
        runs.append((end + pause, end + pause + length))
        end += pause + length
    timeline = Timeline(runs)
    places = [timeline.x(moment) for moment in sorted(moments)]
    assert places == sorted(places)
    assert all(LEFT <= place <= RIGHT for place in places)
    assert len(timeline.gaps) == len(runs) - 1
    ticks = timeline.ticks
    assert 1 <= len(ticks) <= 9
    assert [x for x, _ in ticks] == sorted(x for x, _ in ticks)


@given(
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1e12)), max_size=50), st.sampled_from(["area", "line", "step"])
)
def test_whatever_the_values_paths_stay_in_the_plot(points: list[tuple[float, float]], kind: str) -> None:
    series = Series("x", "first", kind, sorted(points))  # type: ignore[arg-type]  # one of the three
    plot = make_plot("x", "X", "x", Timeline([(0.0, 1000.0)]), [series], str)
    assert len(plot.series) == bool(points)
    for one in plot.series:
        for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", one.path):
            assert LEFT <= float(x) <= RIGHT + 2
            assert TOP <= float(y) <= BOTTOM


def test_without_a_run_there_is_no_timeline() -> None:
    with pytest.raises(ValueError, match="no run"):
        Timeline([])
