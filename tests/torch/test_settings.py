"""PyTorch's settings: whole, consistent, refused where they must be, and held against what configure made of them."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from packaging.version import Version
from pydantic import ValidationError

from debtool.build.cmake import CacheEntry, read_cache
from debtool.model.errors import InputError
from debtool.torch.guide import Flag, load_guide
from debtool.torch.settings import Choice, Level, Settings, before_file, environment, given, held, load_settings
from debtool.torch.table import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.torch.releases import Flavour
    from debtool.torch.settings import Chosen

FOLDER = Path("/b")
VERSION = Version("2.7.1+rocm6.3.noavx")
ROCM = Choice(VERSION, Level.FREE, "6.3.4", ("gfx1030",))
CPU = Choice(Version("2.6.0+cpu.noavx"), Level.FREE)
FLAVOURS: tuple[Flavour, ...] = ("upstream", "debian")
ALL = [
    Choice(Version(f"{series}.1+x"), level, rocm, ("gfx1030",) if rocm else (), flavour=flavour)
    for series, level, rocm, flavour in itertools.product(load_settings().series, Level, (None, "6.3.4"), FLAVOURS)
]


def values(choice: Choice) -> dict[str, str]:
    return {one.name: one.value for one in load_settings().chosen(choice)}


def changed(choice: Choice, **changes: str) -> dict[str, Chosen]:
    settings = load_settings()
    return {one.name: one for one in settings.override(choice, settings.chosen(choice), changes)}


def refused(choice: Choice, **changes: str) -> str:
    with pytest.raises(InputError) as raised:
        changed(choice, **changes)
    return str(raised.value)


# --- the data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ALL, ids=lambda one: f"{one.version}-{one.level}-{one.rocm}-{one.flavour}")
def test_every_choice_has_each_setting_once_and_whole(choice: Choice) -> None:
    chosen = load_settings().chosen(choice)
    names = [one.name for one in chosen]
    assert len(set(names)) == len(names)
    for one in chosen:
        assert set(re.findall(r"\{(\w+)\}", one.value)) <= {"jobs", "folder", "source"}, one.name
        assert one.read, one.name
    assert {"USE_FBGEMM", "CFLAGS", "CXXFLAGS", "USE_ROCM", "PYTORCH_BUILD_VERSION"} <= set(names)


def test_what_a_build_with_rocm_sets() -> None:
    found = values(ROCM)
    assert found["PYTORCH_ROCM_ARCH"] == "gfx1030"
    assert found["ROCM_PATH"] == "/opt/rocm-6.3.4"
    assert found["PYTORCH_BUILD_VERSION"] == "2.7.1+rocm6.3.noavx"
    assert (found["USE_ROCM"], found["USE_ROCM_KERNEL_ASSERT"], found["USE_FLASH_ATTENTION"]) == ("1", "0", "0")
    assert found["CXXFLAGS"].startswith("-march=westmere")
    assert found["BLAS"] == "OpenBLAS"


def test_what_a_build_for_the_cpu_leaves_out() -> None:
    found = values(CPU)
    assert found["USE_ROCM"] == "0"
    assert not {"PYTORCH_ROCM_ARCH", "ROCM_PATH", "USE_FLASH_ATTENTION"} & set(found)


def test_the_levels_differ_in_what_may_be_compiled() -> None:
    safe = values(Choice(VERSION, Level.DISPATCH_SAFE, "6.3.4", ("gfx1030",)))
    added = set(values(ROCM)) - set(safe)
    assert {"CXX_AVX2_FOUND", "SLEEF_SUPPORTED_LIBM_EXTENSIONS"} <= added
    assert set(safe) <= set(values(ROCM))
    assert "cache" not in {one.goes for one in load_settings().chosen(Choice(VERSION, Level.DISPATCH_SAFE))}


def test_debian_s_tree_is_built_from_the_system_s_libraries() -> None:
    found = values(Choice(Version("2.6.0"), flavour="debian"))
    assert (found["BLAS"], found["GENERIC_BLAS_LIBRARIES"], found["ONNX_NAMESPACE"]) == ("Generic", "blas", "onnx")
    assert found["USE_SYSTEM_LIBS"] == "1"
    assert not [name for name in found if name.startswith("SLEEF_")]


def test_guide() -> None:
    flags = load_guide().flag
    told = {name: flag for flag in flags for name in flag.names}
    assert [name for name in ("USE_AVX", "USE_AVX2", "USE_AVX512", "USE_QNNPACK") if told[name].read] == []
    assert {"USE_FBGEMM", "USE_MKLDNN", "USE_NNPACK", "USE_CUDA", "USE_CUDNN", "USE_ROCM", "MAX_JOBS"} <= set(told)
    ours = {one.name for one in load_settings().setting}
    # What the guide sets and something reads is told by debtool's own settings too, but for what depends on another.
    assert {name for name, flag in told.items() if flag.read} - ours == {"USE_CUDNN"}


def test_a_flag_of_the_guide_says_whether_it_is_read() -> None:
    with pytest.raises(ValidationError, match="says whether"):
        Flag(
            wrote="USE_X=0", names=("USE_X",), revisions=(), meant="none", does="nothing", instead="none", source="here"
        )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value": "{gpus}"}, "no placeholder"),
        ({"when": ["fast"]}, "when"),
        ({"versions": "2.x"}, "versions"),
        ({"goes": "file"}, "goes"),
        ({"read": []}, "read"),
        ({"whose": "mine"}, "whose"),
    ],
)
def test_a_setting_that_is_wrong_is_refused(change: Mapping[str, object], told: str) -> None:
    good = {
        "name": "USE_A",
        "value": "1",
        "goes": "environment",
        "read": ["a:1"],
        "reason": "so it is",
        "source": "here",
    }
    Setting.model_validate(good)
    with pytest.raises(ValidationError, match=told):
        Setting.model_validate({**good, **change})


@pytest.mark.parametrize(("name", "goes"), [("CXX_AVX2_FOUND", "environment"), ("USE_KINETO", "cache")])
def test_a_setting_that_could_not_arrive_is_refused(name: str, goes: str) -> None:
    known = load_settings().model_dump()
    one = next(one for one in known["setting"] if one["name"] == name)
    with pytest.raises(ValidationError, match=f"{name}: setup.py"):
        Settings.model_validate(known | {"setting": [one | {"goes": goes}]})


def test_versions_are_honoured() -> None:
    known = load_settings().model_dump()
    one = next(one for one in known["setting"] if one["name"] == "USE_KINETO")
    table = Settings.model_validate(known | {"setting": [one | {"versions": ">=2.6"}]})
    assert table.chosen(Choice(Version("2.5.1"))) == ()
    assert [one.name for one in table.chosen(Choice(Version("2.6.0+cpu")))] == ["USE_KINETO"]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.13.1", "2.3.0", "2.8.0", "3.0", "1!2.6.0"])
def test_an_unknown_version_is_told_with_those_that_are_known(version: str) -> None:
    with pytest.raises(InputError, match=r"is not known here.*2\.4, 2\.5, 2\.6, 2\.7"):
        load_settings().chosen(Choice(Version(version)))


def test_native_is_for_the_machine_that_runs_the_result() -> None:
    with pytest.raises(InputError, match=r"--march: -march=native is refused.*westmere"):
        load_settings().chosen(Choice(VERSION, march="native"))
    assert values(Choice(VERSION, march="native", here=True))["CXXFLAGS"].startswith("-march=native")
    with pytest.raises(InputError, match="within the baseline"):
        load_settings().chosen(Choice(VERSION, march="haswell", here=True))


@pytest.mark.parametrize("gpu", [("gfx1032",), ("gfx1031", "gfx1032"), ("gfx1032", "gfx1100")])
def test_a_gpu_that_rocblas_has_no_kernels_for_is_refused_alone(gpu: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"PYTORCH_ROCM_ARCH: .*rocBLAS.*gfx1030;gfx1032"):
        load_settings().chosen(Choice(VERSION, rocm="6.3.4", gpu=gpu))


@pytest.mark.parametrize("gpu", [("gfx1030",), ("gfx1032", "gfx1030"), ("gfx1100",)])
def test_gpus_that_will_do(gpu: tuple[str, ...]) -> None:
    assert values(Choice(VERSION, rocm="6.3.4", gpu=gpu))["PYTORCH_ROCM_ARCH"] == ";".join(gpu)


def test_a_build_with_rocm_names_a_gpu() -> None:
    with pytest.raises(InputError, match="--gpu gfx1030"):
        load_settings().chosen(Choice(VERSION, rocm="6.3.4"))


@pytest.mark.parametrize(
    "change",
    [
        {"USE_FBGEMM": "1"},
        {"USE_FBGEMM": "ON"},
        {"USE_XNNPACK": "1"},
        {"USE_NATIVE_ARCH": "yes"},
        {"CXX_AVX2_FOUND": "TRUE"},
        {"SLEEF_DISABLE_AVX2": "OFF"},
        {"SLEEF_SUPPORTED_LIBM_EXTENSIONS": "SSE2;PURECFMA_SCALAR"},
        {"BLAS": "MKL"},
        {"USE_AVX": "1"},
        {"CXXFLAGS": "-O3 -mavx2"},
        {"CFLAGS": "-march=native"},
        {"CMAKE_CXX_FLAGS": "-march=haswell"},
        {"CXXFLAGS": "-mno-avx -march=native"},
        {"PYTORCH_ROCM_ARCH": "gfx1032"},
        {"USE_ROCM_KERNEL_ASSERT": "1"},
        {"CMAKE_PROJECT_INCLUDE_BEFORE": "/mine.cmake"},
        {"USE_CUDA": "1"},
    ],
    ids=str,
)
def test_what_level_free_forbids_is_refused_with_the_reason(change: dict[str, str]) -> None:
    [name] = change
    text = refused(ROCM, **change)
    assert text.startswith(f"{name}: ")
    assert "is refused: " in text
    assert "; fix: " in text


def test_every_refusal_is_told_at_once() -> None:
    assert len(refused(ROCM, USE_FBGEMM="1", USE_XNNPACK="1", BLAS="MKL").splitlines()) == 3


def test_dispatch_safe_forbids_less() -> None:
    safe = Choice(VERSION, Level.DISPATCH_SAFE)
    assert changed(safe, USE_XNNPACK="1")["USE_XNNPACK"].value == "1"
    assert "is refused" in refused(safe, USE_FBGEMM="1")


# --- a user's own -----------------------------------------------------------------------------------------------------


def test_a_user_s_value_takes_the_place_of_ours_and_is_expected() -> None:
    one = changed(CPU, USE_KINETO="1")["USE_KINETO"]
    assert (one.value, one.by_user) == ("1", True)
    assert "instead of 0" in one.reason
    assert one.expect is not None
    assert (one.expect.value, one.expect.summary) == ("1", "USE_KINETO")


def test_a_user_s_own_setting_is_handed_on_and_expected() -> None:
    one = changed(CPU, USE_OPENMP="0")["USE_OPENMP"]
    assert (one.goes, one.by_user) == ("environment", True)
    assert held([one], {}, [], {})[0].field == "USE_OPENMP"


def test_a_name_that_nothing_hands_on_is_refused() -> None:
    assert refused(CPU, FOO="1").startswith("FOO: nothing hands it on to CMake")
    assert "more than a line" in refused(CPU, USE_KINETO="1\n2")


def test_an_entry_of_the_cache_is_in_the_file_that_cmake_reads_first() -> None:
    safe = Choice(VERSION, Level.DISPATCH_SAFE)
    found = changed(safe, SLEEF_DISABLE_FMA4="ON")
    assert found["CMAKE_PROJECT_INCLUDE_BEFORE"].value == "{folder}/before.cmake"
    assert 'set(SLEEF_DISABLE_FMA4 "ON" CACHE BOOL' in before_file(found.values(), FOLDER)


@pytest.mark.parametrize("word", ["USE_KINETO", "=1", "USE KINETO=1", ""])
def test_words_that_are_no_setting(word: str) -> None:
    with pytest.raises(InputError, match="is not NAME=VALUE"):
        given([word])


# --- what is handed on ------------------------------------------------------------------------------------------------


def test_the_environment_is_whole() -> None:
    chosen = load_settings().chosen(ROCM)
    found = environment(chosen, jobs=8, folder=Path("/b"), source=Path("/s"))
    assert found["MAX_JOBS"] == "8"
    assert found["CMAKE_PROJECT_INCLUDE_BEFORE"] == "/b/before.cmake"
    assert found["CFLAGS"] == "-march=westmere"
    assert "CXX_AVX2_FOUND" not in found
    assert not [value for value in found.values() if "{" in value]


def test_cmake_keeps_what_the_file_puts_into_its_cache(tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    assert cmake is not None
    before = tmp_path / "before.cmake"
    before.write_text(before_file(load_settings().chosen(CPU), tmp_path))
    # As FindAVX and sleef do: entries without FORCE; and a project inside the project.
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(a LANGUAGES NONE)\nproject(b LANGUAGES NONE)\n"
        'set(CXX_AVX2_FOUND TRUE CACHE BOOL "found")\noption(SLEEF_DISABLE_AVX2 "" OFF)\n'
        "set(SLEEF_SUPPORTED_LIBM_EXTENSIONS AVX2 SSE2 PURECFMA_SCALAR CACHE STRING all)\n"
    )
    command = [cmake, f"-S{tmp_path}", f"-B{tmp_path}/b", f"-DCMAKE_PROJECT_INCLUDE_BEFORE={before}"]
    subprocess.run(command, check=True, capture_output=True)
    cache = read_cache(tmp_path / "b/CMakeCache.txt")
    put = [one for one in load_settings().chosen(CPU) if one.goes == "cache"]
    assert len(put) > 10
    assert held(put, cache, [], {}) == []
    assert cache["SLEEF_SUPPORTED_LIBM_EXTENSIONS"].value == "SSE4;SSE2;PUREC_SCALAR"


@for_all(st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1))
def test_no_value_ends_its_string_in_the_file(value: str) -> None:
    settings = load_settings()
    one = next(one for one in settings.chosen(CPU) if one.name == "SLEEF_SUPPORTED_LIBM_EXTENSIONS")
    safe = Choice(CPU.version, Level.DISPATCH_SAFE)
    chosen = settings.override(safe, [one], {"SLEEF_SUPPORTED_LIBM_EXTENSIONS": value})
    [line] = [line for line in before_file(chosen, FOLDER).split("\n") if line.startswith("set(SLEEF")]
    text = re.fullmatch(
        r'set\(SLEEF_SUPPORTED_LIBM_EXTENSIONS "((?:\\.|[^"\\$])*)" CACHE (?:BOOL|STRING) "[^"\\$]*"\)', line
    )
    assert text is not None
    assert re.sub(r"\\(.)", r"\1", text[1]) == value


# --- what came of them ------------------------------------------------------------------------------------------------


def outcome(chosen: tuple[Chosen, ...]) -> tuple[dict[str, CacheEntry], dict[str, str]]:
    """The cache and the summary of a configure run in which everything took."""
    cache, summary = {}, {}
    for one in chosen:
        if one.expect is None:
            continue
        value = one.expect.contains or one.expect.value or ""
        kind = "UNINITIALIZED" if one.may_be_unused or one.name.startswith("CMAKE_") else "BOOL"
        name = one.expect.cache or one.name
        cache[name] = CacheEntry(name, kind, value)
        if one.expect.summary:
            summary[one.expect.summary] = one.expect.summary_value or value
    return cache, summary


@pytest.mark.parametrize("choice", ALL, ids=lambda one: f"{one.version}-{one.level}-{one.rocm}-{one.flavour}")
def test_what_took_is_no_issue_and_nothing_at_all_is_one_for_each(choice: Choice) -> None:
    chosen = load_settings().chosen(choice)
    cache, summary = outcome(chosen)
    assert held(chosen, cache, [], summary) == []
    expected = [one.name for one in chosen if one.expect is not None]
    assert [issue.field for issue in held(chosen, {}, [], {})] == expected


def test_cmake_s_words_for_true_and_false_are_alike() -> None:
    chosen = load_settings().chosen(CPU)
    cache, summary = outcome(chosen)
    cache["USE_FBGEMM"] = CacheEntry("USE_FBGEMM", "BOOL", "OFF")
    cache["BUILD_TEST"] = CacheEntry("BUILD_TEST", "BOOL", "False")
    summary["BUILD_TEST"] = "False"
    cache["USE_MKLDNN"] = CacheEntry("USE_MKLDNN", "BOOL", "ON")
    assert held(chosen, cache, [], summary) == []


@pytest.mark.parametrize(
    ("name", "kind", "value", "told"),
    [
        ("CXX_AVX2_FOUND", "BOOL", "TRUE", "CMake's cache has TRUE"),
        ("USE_KINETO", "UNINITIALIZED", "0", "no file of PyTorch declares it"),
        ("USE_MKLDNN", "INTERNAL", "1", "what it depends on is off"),
        ("BLAS", "STRING", "MKL", "CMake's cache has MKL"),
        ("CMAKE_CXX_FLAGS", "STRING", "-O2 -march=native", "CMake's cache has -O2 -march=native"),
        ("TORCH_BUILD_VERSION", "STRING", "2.6.0+debian", "CMake's cache has 2.6.0+debian"),
        ("SLEEF_SUPPORTED_LIBM_EXTENSIONS", "STRING", "", "CMake's cache has nothing"),
    ],
)
def test_a_setting_that_did_not_take_is_told(name: str, kind: str, value: str, told: str) -> None:
    chosen = load_settings().chosen(CPU)
    cache, summary = outcome(chosen)
    cache[name] = CacheEntry(name, kind, value)
    [issue] = held(chosen, cache, [], summary)
    assert told in issue.problem
    assert "was wanted" in issue.problem
    assert issue.fix
    assert issue.rule


def test_rocm_that_was_turned_off_silently_shows_in_the_summary() -> None:
    chosen = load_settings().chosen(ROCM)
    cache, summary = outcome(chosen)
    [issue] = held(chosen, cache, [], summary | {"USE_ROCM": "OFF"})
    assert issue.field == "USE_ROCM"
    assert "closing summary says OFF" in issue.problem
    [other] = held(chosen, cache, [], summary | {"BLAS": "mkl"})
    assert (other.field, "says mkl" in other.problem) == ("BLAS", True)


def test_what_cmake_did_not_use_is_told_once() -> None:
    settings = load_settings()
    chosen = settings.override(CPU, settings.chosen(CPU), {"USE_QNNPACK": "0"})
    cache, summary = outcome(chosen)
    cache["USE_QNNPACK"] = CacheEntry("USE_QNNPACK", "UNINITIALIZED", "0")
    [issue] = held(chosen, cache, ["USE_QNNPACK"], summary)
    assert (issue.field, "nothing uses it" in issue.problem) == ("USE_QNNPACK", True)
