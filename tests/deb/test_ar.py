from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.deb import ar
from debtool.model.errors import InputError

PATH = Path("x.deb")


@given(st.lists(st.tuples(st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True), st.binary(max_size=99)), max_size=5))
def test_members_are_found_where_they_were_written(files: list[tuple[str, bytes]]) -> None:
    out = bytearray(ar.MAGIC)
    for name, data in files:
        out += ar.header(name, len(data), mtime=0) + data + b"\n" * (len(data) % 2)
    found = list(ar.members(io.BytesIO(out), path=PATH))
    assert [(member.name, bytes(out[member.offset : member.offset + member.size])) for member in found] == files


@given(st.binary(max_size=400))
def test_any_bytes_are_members_or_one_clear_error(data: bytes) -> None:
    with suppress(InputError):
        for member in ar.members(io.BytesIO(ar.MAGIC + data), path=PATH):
            assert member.offset + member.size <= len(ar.MAGIC) + len(data)


@pytest.mark.parametrize("size", [-1, ar.MEMBER_LIMIT + 1])
def test_header_refuses_sizes_that_have_no_ten_digits(size: int) -> None:
    with pytest.raises(ValueError, match="cannot have"):
        ar.header("data.tar", size, mtime=0)


def test_the_largest_member_has_a_header_of_the_right_length() -> None:
    assert len(ar.header("data.tar.zst", ar.MEMBER_LIMIT, mtime=2**33)) == ar.HEADER_SIZE


def test_header_refuses_names_that_dpkg_does_not_read() -> None:
    with pytest.raises(ValueError, match="cannot be called"):
        ar.header("sixteen-letters!", 0, mtime=0)
