"""The control files that say what users of a shared library depend on."""

from __future__ import annotations

import pytest

from debtool.deb.symbols import Symbol, parse_shlibs, parse_symbols, soname_parts
from debtool.model.errors import InputError

SYMBOLS = """\
libone.so.1 libone1 #MINVER#
| libone1 #MINVER#, libone1 (<< 1.5~)
* Build-Depends-Package: libone-dev
# a comment
 ONE_1.0@ONE_1.0 1.0-1
 open_one@Base 1.0
 inner@ONE_PRIVATE 0 1
#MISSING: 1.3-2# gone@Base 0.9
libmore.so.2 libmore2 (>= 2.0)
 more@@MORE_2 2.1
"""


def test_lines_of_a_package() -> None:
    one, more = parse_symbols(SYMBOLS).values()
    assert one.templates == ["libone1 #MINVER#", "libone1 #MINVER#, libone1 (<< 1.5~)"]
    assert one.symbols == [
        Symbol("ONE_1.0", "ONE_1.0", "1.0-1"),
        Symbol("open_one", "Base", "1.0"),
        Symbol("inner", "ONE_PRIVATE", "0", template=1),
        Symbol("gone", "Base", "0.9", gone=True),
    ]
    assert more.templates == ["libmore2 (>= 2.0)"]
    assert more.symbols == [Symbol("more", "MORE_2", "2.1")]


@pytest.mark.parametrize(
    ("line", "symbol"),
    [
        (" (optional|arch=amd64)maybe@V1 1.2", Symbol("maybe", "V1", "1.2")),
        (' (optional)"operator new@V1" 1.2 1', Symbol("operator new", "V1", "1.2", template=1)),
        (" (symver)V2 1.4", Symbol("*", "V2", "1.4")),
        (" *@V2 1.4", Symbol("*", "V2", "1.4")),
    ],
)
def test_lines_of_a_source_package(line: str, symbol: Symbol) -> None:
    assert parse_symbols(f"libone.so.1 libone1 #MINVER#\n{line}\n")["libone.so.1"].symbols == [symbol]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" early@Base 1.0\n", "1: early|stands before the first library"),
        ("libone.so.1 libone1\n nothing@Base\n", "is no line of a symbols file"),
        ("libone.so.1 libone1\n bare 1.0\n", "has no version"),
        ('libone.so.1 libone1\n (c++)"one::two()@Base" 1.0\n', "is a pattern"),
        ("libone.so.1\n", "is no line of a symbols file"),
    ],
)
def test_wrong_lines_are_told(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_symbols(text)


def test_a_line_for_debs_wins_over_one_for_all() -> None:
    text = "# ours\nlibone 1 libone1\nudeb: libone 1 one-udeb\ndeb: libone 1 libone1 (>= 2)\nlibtwo 3 a | b (>= 4)\n"
    assert parse_shlibs(text) == {("libone", "1"): "libone1 (>= 2)", ("libtwo", "3"): "a | b (>= 4)"}
    with pytest.raises(InputError, match="is no line of a shlibs file"):
        parse_shlibs("libone\n")


def test_names_are_split_as_dpkg_splits_them() -> None:
    assert soname_parts("libgomp.so.1.0.0") == ("libgomp", "1.0.0")
    assert soname_parts("libbfd-2.40-system.so") == ("libbfd", "2.40-system")
    assert soname_parts("libnss3.so") is None
