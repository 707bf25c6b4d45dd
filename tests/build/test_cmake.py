"""CMake's cache and log, as CMake 3.31 wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.build.cmake import CacheEntry, is_true, parse_cache, read_cache, summary_values, unused_variables
from debtool.model.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CACHE = """\
# This is the CMakeCache file.
# KEY:TYPE=VALUE
# KEY is the name of a variable in the cache.

########################
# EXTERNAL cache entries
########################

//help
// two lines
A_B:STRING=x=y;z

//h
CXX_AVX2_FLAGS:STRING=-mavx2 -mfma -mf16c
CXX_AVX2_FOUND:BOOL=FALSE
EMPTY:PATH=
OPT:BOOL=ON
QUO:STRING='q'
SP:STRING= lead
TR:STRING='trail '
CMAKE_C_COMPILER:FILEPATH=C:/with:colons=and=equals
//No help, variable specified on the command line.
USE_AVX:UNINITIALIZED=0

//h
"odd:name":STRING=v
"//comment":BOOL=OFF

########################
# INTERNAL cache entries
########################

//STRINGS property for variable: A_B
A_B-STRINGS:INTERNAL=a;b
//ADVANCED property for variable: OPT
OPT-ADVANCED:INTERNAL=1
OPT-MODIFIED:INTERNAL=ON
NOT-ADVANCED:BOOL=ON
HAVE_X:INTERNAL=
"""

# CMake 3.31.6's own verdicts on if("…") with CMP0012 set to NEW.
CONSTANTS = {
    True: [
        "1",
        "ON",
        "on",
        "YES",
        "TRUE",
        "True",
        "Y",
        "2",
        "-1",
        "0.5",
        "1e3",
        "007",
        ".5",
        "5.",
        "0x10",
        "inf",
        "nan",
    ],
    False: [
        "0",
        "OFF",
        "NO",
        "FALSE",
        "N",
        "IGNORE",
        "NOTFOUND",
        "X-NOTFOUND",
        "",
        "0.0",
        "0e5",
        "Generic",
        "1 ",
        "1.5f",
    ],
}

UNUSED = """\
-- Build files have been written to: /srv/b
CMake Warning:
  Manually-specified variables were not used by the project:

    UNREAD
    USE_AVX
    USE_AVX2


-- Configuring done (0.1s)
"""

SUMMARY = """\
--   CMake version         : of no summary
-- ******** Summary ********
-- General:
--   CMake version         : 3.31.6
--   Using ccache if found : ON
--   C++ compiler id       : GNU
--   CXX flags             : -march=westmere -DA=":" -Wall
--   Static LD flags       :\x20
-- \n--   TORCH_VERSION         : 2.6.0
--   BUILD_STATIC_RUNTIME_BENCHMARK: OFF
--   BUILD_PYTHON          : True
--     Python version      : 3.13.5
--   USE_ROCM              : ON
--     ROCM_VERSION        :\x20
--     USE_FLASH_ATTENTION : OFF
--   USE_FBGEMM            : OFF
--   USE_DISTRIBUTED       : 1
--     USE_MPI               : 0
--   Public Dependencies  :\x20
--   Private Dependencies : Threads::Threads;/usr/lib/libblas.so;caffe2::openmp
--   USE_ROCM_KERNEL_ASSERT : OFF
-- Performing Test HAS_WMISSING_PROTOTYPES
-- Performing Test HAS_WMISSING_PROTOTYPES - Failed
--   indented              : after the summary
-- Configuring done (34.3s)
"""


def test_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "CMakeCache.txt"
    path.write_text(CACHE)
    entries = read_cache(path)
    assert {name: entry.value for name, entry in entries.items()} == {
        "A_B": "x=y;z",
        "CXX_AVX2_FLAGS": "-mavx2 -mfma -mf16c",
        "CXX_AVX2_FOUND": "FALSE",
        "EMPTY": "",
        "OPT": "ON",
        "QUO": "q",
        "SP": " lead",
        "TR": "trail ",
        "CMAKE_C_COMPILER": "C:/with:colons=and=equals",
        "USE_AVX": "0",
        "odd:name": "v",
        "//comment": "OFF",
        "NOT-ADVANCED": "ON",
        "HAVE_X": "",
    }
    assert entries["USE_AVX"] == CacheEntry("USE_AVX", "UNINITIALIZED", "0")
    assert (entries["HAVE_X"].type, entries["CMAKE_C_COMPILER"].type) == ("INTERNAL", "FILEPATH")


def test_a_cache_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_cache(tmp_path / "CMakeCache.txt")
    [issue] = caught.value.issues
    assert issue.file == tmp_path / "CMakeCache.txt"
    assert "No such file" in issue.problem
    assert "configure" in issue.fix


@given(st.text(max_size=300))
def test_no_text_breaks_the_readers(text: str) -> None:
    for name, entry in parse_cache(text).items():
        assert name == entry.name
    assert all(unused_variables(text))
    assert isinstance(is_true(text), bool)
    summary_values(f"-- ******** Summary ********\n{text}")


NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=40)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_written_is_read(values: dict[str, str]) -> None:
    # An apostrophe at both ends is what CMake itself takes off again.
    kept = {name: value for name, value in values.items() if not (value[:1] == value[-1:] == "'" and len(value) > 1)}
    text = "".join(f"//help\n{name}:STRING={value}\n\n" for name, value in kept.items())
    assert {name: entry.value for name, entry in parse_cache(text).items()} == kept


@pytest.mark.parametrize("truth", [True, False])
def test_constants(truth: bool) -> None:  # noqa: FBT001 -- a parameter
    assert {value: is_true(value) for value in CONSTANTS[truth]} == dict.fromkeys(CONSTANTS[truth], truth)


def test_variables_that_nobody_read() -> None:
    assert unused_variables(UNUSED) == ["UNREAD", "USE_AVX", "USE_AVX2"]
    # As pip prints a build's output, and of a build that configures twice.
    indented = "".join(f"  {line}\n" for line in UNUSED.splitlines())
    again = UNUSED.replace("USE_AVX2", "USE_QNNPACK")
    assert unused_variables(indented + again) == ["UNREAD", "USE_AVX", "USE_AVX2", "USE_QNNPACK"]
    assert unused_variables(SUMMARY) == []
    assert unused_variables(UNUSED[: UNUSED.index("    USE_AVX2")]) == ["UNREAD", "USE_AVX"]


def test_the_closing_summary() -> None:
    values = summary_values(SUMMARY)
    assert values == {
        "CMake version": "3.31.6",
        "Using ccache if found": "ON",
        "C++ compiler id": "GNU",
        "CXX flags": '-march=westmere -DA=":" -Wall',
        "Static LD flags": "",
        "TORCH_VERSION": "2.6.0",
        "BUILD_STATIC_RUNTIME_BENCHMARK": "OFF",
        "BUILD_PYTHON": "True",
        "Python version": "3.13.5",
        "USE_ROCM": "ON",
        "ROCM_VERSION": "",
        "USE_FLASH_ATTENTION": "OFF",
        "USE_FBGEMM": "OFF",
        "USE_DISTRIBUTED": "1",
        "USE_MPI": "0",
        "Public Dependencies": "",
        "Private Dependencies": "Threads::Threads;/usr/lib/libblas.so;caffe2::openmp",
        "USE_ROCM_KERNEL_ASSERT": "OFF",
    }


def test_the_last_summary_counts() -> None:
    assert summary_values(SUMMARY + SUMMARY.replace("USE_MPI               : 0", "USE_MPI : 1"))["USE_MPI"] == "1"
    assert summary_values("-- Configuring done\n") == {}
    assert summary_values("  " + SUMMARY.replace("\n", "\n  "))["USE_FBGEMM"] == "OFF", "as pip prints it"
