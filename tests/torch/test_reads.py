"""What a source tree reads: values, conditions and declarations, and nothing that is only said or printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from debtool.model.errors import InputError
from debtool.torch.cmake_text import commands
from debtool.torch.reads import Place, reads, reads_cmake, reads_python, reads_settings
from debtool.torch.settings import Choice, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAMES = frozenset({"USE_A", "USE_B", "MAX_JOBS", "${lang}_${type}_FOUND"})


def tree(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in ({"setup.py": "", "CMakeLists.txt": ""} | dict(files)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "if(USE_A)",
        "IF (NOT USE_A)",
        "elseif(X AND (USE_A OR Y))",
        'if("${USE_A}" STREQUAL "1")',
        "if(DEFINED ENV{USE_A})",
        "set(X $ENV{USE_A})",
        'option(USE_A "about it" ON)',
        'cmake_dependent_option(USE_X "about it" ON "USE_B AND NOT USE_A" OFF)',
        'set(USE_A 1 CACHE STRING "about it")',
        "foreach(x IN LISTS USE_A)",
        "list(LENGTH USE_A n)",
        "target_compile_options(x PRIVATE $<$<BOOL:${USE_A}>:-O2>)",
        "set(X [[${USE_A}]])",
    ],
)
def test_what_is_reading(text: str) -> None:
    assert "USE_A" in {name for name, _ in reads_cmake(text, NAMES)}


@pytest.mark.parametrize(
    "text",
    [
        "# if(USE_A)",
        "#[[ if(USE_A)\n]] set(X 1)",
        'message(STATUS "USE_A: ${USE_A}")',
        'MESSAGE("Suppress this with -DUSE_A=OFF")',
        "set(USE_A OFF)",
        'set(USE_A OFF CACHE BOOL "" FORCE)',
        "unset(USE_A)",
        "caffe2_update_option(USE_A OFF)",
        "add_definitions(-DUSE_A)",
        "target_compile_definitions(x PRIVATE USE_A)",
        'option(USE_X "Only if USE_A is on" ON)',
        'cmake_dependent_option(USE_X "Only if USE_A is on" ON "USE_B" OFF)',
        "if(USE_AB)",
        "if(MY_USE_A)",
        "set(X ${USE_A_FILES})",
        'if(X STREQUAL "USE_A")',
        "list(APPEND USE_A x)",
    ],
)
def test_what_is_none(text: str) -> None:
    assert "USE_A" not in {name for name, _ in reads_cmake(text, NAMES)}


def test_lines_are_those_of_the_name() -> None:
    text = '# one\nset(X "two\nthree ${USE_B}"\n  four)\nif(X\n   AND USE_A)\n'
    assert list(reads_cmake(text, NAMES)) == [("USE_B", 2), ("USE_A", 6)]


def test_a_composed_name() -> None:
    assert list(reads_cmake("IF(NOT ${lang}_${type}_FOUND)", NAMES)) == [("${lang}_${type}_FOUND", 1)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('jobs = os.getenv("MAX_JOBS")', [("MAX_JOBS", 1)]),
        ("if 'MAX_JOBS' in os.environ:\n    os.environ['MAX_JOBS'] = '1'", [("MAX_JOBS", 1)]),
        ('# MAX_JOBS\n"""MAX_JOBS is how many"""', []),
        ('print("MAX_JOBS=3")', []),
        ("print 'MAX_JOBS'", []),
        ("x = '\\d'; y = 'MAX_JOBS'", [("MAX_JOBS", 1)]),
    ],
)
def test_python(text: str, found: list[tuple[str, int]]) -> None:
    assert list(reads_python(text, NAMES)) == found


@given(st.text())
def test_any_text_is_taken_for_a_file(text: str) -> None:
    for command in commands(text):
        assert all(0 < argument.line <= text.count("\n") + 1 for argument in command.arguments)
    assert not list(reads_python(text, frozenset({"USE_A_LONG_NAME"})))


@given(st.lists(st.sampled_from(["if(", ")", '"', "USE_A", "#", "[[", "]]", "\n", " ", "\\", "${", "}", "message("])))
def test_pieces_in_any_order_are_taken_for_a_file(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert {line for _, line in reads_cmake(text, NAMES)} <= set(range(1, text.count("\n") + 2))


def test_a_tree(tmp_path: Path) -> None:
    where = tree(
        tmp_path,
        {
            "CMakeLists.txt": 'option(USE_A "" ON)\n',
            "cmake/Summary.cmake": "if(${USE_B})\nmessage(${USE_B})\nendif()",
            "cmake/Codegen.cmake": "if(CXX_AVX2_FOUND)\nendif()\n",
            "cmake/Modules/FindX.cmake": "\nif(USE_A)\nendif()",
            "build/CMakeLists.txt": "if(USE_B)\nendif()",
            ".pc/old.cmake": "if(USE_B)\nendif()",
            "android/CMakeLists.txt": "if(USE_B)\nendif()",
            "third_party/gloo/gloo/CMakeLists.txt": "set(X ${USE_AVX})\nif(USE_A)\nendif()",
            "tools/setup_helpers/cmake.py": "os.getenv('MAX_JOBS')",
        },
    )
    found = reads(where, ["USE_A", "USE_B", "CXX_AVX2_FOUND", "USE_AVX", "MAX_JOBS"])
    assert found == {
        "USE_A": (Place("CMakeLists.txt", 1), Place("cmake/Modules/FindX.cmake", 2)),
        "USE_B": (),
        "CXX_AVX2_FOUND": (Place("cmake/Codegen.cmake", 1),),
        "USE_AVX": (),
        "MAX_JOBS": (Place("tools/setup_helpers/cmake.py", 1),),
    }
    assert (
        str(*reads(where, ["USE_AVX"], third_party=["USE_AVX"])["USE_AVX"]) == "third_party/gloo/gloo/CMakeLists.txt:1"
    )


def test_settings_of_another_project_and_composed_names(tmp_path: Path) -> None:
    composed = "if(NOT ${lang}_${type}_FOUND)\nendif()"
    where = tree(
        tmp_path,
        {
            "cmake/Modules/FindAVX.cmake": composed,
            "cmake/Modules/FindARM.cmake": composed,
            "third_party/sleef/Configure.cmake": "if(NOT SLEEF_DISABLE_AVX2)\nendif()",
        },
    )
    found = reads_settings(where, load_settings().chosen(Choice(Version("2.7.1"))))
    assert found["C_AVX2_FOUND"] == (Place("cmake/Modules/FindAVX.cmake", 1),)
    assert found["SLEEF_DISABLE_AVX2"] == (Place("third_party/sleef/Configure.cmake", 1),)
    assert found["USE_FBGEMM"] == ()


def test_what_is_no_tree_of_pytorch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no CMakeLists\.txt and no setup\.py"):
        reads(tmp_path, ["USE_A"])
    with pytest.raises(InputError, match="is not there"):
        reads(tmp_path / "none", ["USE_A"])
