from __future__ import annotations

import csv
import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.model.errors import InputError
from debtool.wheel.record import Record, parse_record

PATH = Path("x.whl")
RECORD = "x-1.dist-info/RECORD"
SHA = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"  # of nothing
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\\x85\u2028\u2029"), min_size=1)


def parse(text: str, *files: str) -> Record:
    return parse_record(text, path=PATH, record=RECORD, files=[*files, RECORD])


@given(st.dictionaries(NAMES.filter(lambda name: name != RECORD), st.integers(0, 2**40), max_size=8))
def test_what_csv_writes_is_read_back(sizes: dict[str, int]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for name, size in sizes.items():
        writer.writerow([name, SHA, size])
    writer.writerow([RECORD, "", ""])
    record = parse(out.getvalue(), *sizes)
    assert {name: expected.size for name, expected in record.entries.items()} == sizes


@given(st.text())
def test_any_text_is_a_record_or_one_clear_error(text: str) -> None:
    with suppress(InputError):
        assert set(parse(text, "a").entries) == {"a"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "does not list"),
        (f"a,{SHA},0\na,{SHA},0\n", "twice"),
        (f"a,{SHA},0\nb,{SHA},0\n", "does not have"),
        ("a,,\n", "has the hash ''"),
        ("a,md5=1B2M2Y8AsgTpgAmY7PhCfg,0\n", "has the hash"),
        ("a,sha1=2jmj7l5rSw0yVb_vlWAYkK_YBwk,0\n", "has the hash"),
        ("a,sha256=short,0\n", "has the hash"),
        ("a,sha256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU,0\n", "has the hash"),
        (f"a,{SHA},-1\n", "has the hash"),
        (f"a,{SHA},\N{SUPERSCRIPT TWO}\n", "has the hash"),
        (f"a,{SHA}\n", "expected 3 elements"),
    ],
)
def test_what_the_specification_forbids_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        parse(text, "a")
    assert caught.value.issues[0].file == PATH


def test_signatures_need_not_be_listed() -> None:
    parse(f"a,{SHA},0\n", "a", "x-1.dist-info/RECORD.jws", "x-1.dist-info/RECORD.p7s")
    with pytest.raises(InputError, match="does not list"):
        parse(f"a,{SHA},0\n", "a", "elsewhere/RECORD.jws")


@pytest.mark.parametrize(("data", "good"), [(b"", True), (b"x", False)])
def test_contents_are_checked_when_their_end_is_read(data: bytes, good: bool) -> None:  # noqa: FBT001
    stream = parse(f"a,{SHA},\n", "a").check("a", io.BytesIO(data))
    assert stream.read(10) == data
    if good:
        assert stream.read(10) == b""
    else:
        with pytest.raises(InputError, match="sha256"):
            stream.read(10)


def test_a_wrong_size_is_found() -> None:
    with pytest.raises(InputError, match="the size that RECORD says"):
        parse(f"a,{SHA},1\n", "a").check("a", io.BytesIO()).read()
