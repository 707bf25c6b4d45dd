from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.deb.names import check_path
from debtool.model.errors import InputError

COMPONENT = st.text(st.characters(exclude_characters="/\n\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(st.lists(COMPONENT.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=9))
def test_every_plain_path_is_accepted(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assert check_path(path) == path[1:].encode()


@given(st.text(st.characters(codec=None), max_size=40))
def test_what_is_accepted_stays_below_the_root_and_fits_on_one_line(path: str) -> None:
    with suppress(InputError):
        raw = check_path(path)
        assert not {b"", b".", b".."} & set(raw.split(b"/"))
        assert b"\n" not in raw
        assert raw.decode() == path[1:]


@pytest.mark.parametrize("surrogate", [0xD800, 0xDC80, 0xDFFF])
def test_what_is_no_utf_8_is_told(surrogate: int) -> None:
    with pytest.raises(InputError, match="is not UTF-8"):
        check_path(f"/a{chr(surrogate)}")
