"""``debtool torch settings``: the table, what a tree reads, the guide's flags, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from debtool.cli.context import Settings
from debtool.cli.torch import torch
from debtool.model.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def call(*arguments: str) -> Result:
    settings = Settings.from_options(None, None, {})
    return CliRunner().invoke(torch, ["settings", *arguments], obj=settings, terminal_width=100)


def report(*arguments: str) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    assert found["kind"] == "torch-settings"
    return found


def shown(*arguments: str) -> str:
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def values(found: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in found["settings"]}


def test_the_stack_s_torch_is_the_default() -> None:
    found = report()
    assert (found["target"], found["version"], found["level"]) == ("noble-rocm6.3", "2.7.1+rocm6.3.noavx", "free")
    assert (found["rocm"], found["gpu"], found["march"]) == ("6.3.4", ["gfx1030"], "westmere")
    assert values(found)["PYTORCH_ROCM_ARCH"] == "gfx1030"
    assert found["release"]["checked"] == "read"
    assert (found["source"], found["guide"]) == (None, [])


def test_options() -> None:
    found = report("--target", "noble-rocm6.1", "--level", "dispatch-safe", "--gpu", "gfx1030,gfx1032")
    assert (found["rocm"], found["gpu"]) == ("6.1.0", ["gfx1030", "gfx1032"])
    assert "CXX_AVX2_FOUND" not in values(found)
    found = report("--cpu-only", "--set", "USE_KINETO=1")
    assert (found["version"], found["rocm"], values(found)["USE_KINETO"]) == ("2.7.1+cpu.noavx", None, "1")
    found = report("--target", "bookworm", "--version", "2.6.0", "--flavour", "debian")
    assert (found["version"], values(found)["BLAS"]) == ("2.6.0+cpu.noavx", "Generic")
    assert report("--version", "2.6.0")["version"] == "2.6.0+rocm6.3.noavx"
    assert report("--version", "2.6.0+mine")["version"] == "2.6.0+mine"


def test_the_table() -> None:
    text = shown()
    assert "PyTorch 2.7.1+rocm6.3.noavx: ROCm 6.3.4 for gfx1030" in text
    assert "USE_FBGEMM=0" in text
    assert "fbgemm::FindMinMax" in text
    assert "read by CMakeLists.txt:264" in text
    assert "Lines are those of 2.6.0. PyTorch 2.7: its sources were read" in text
    assert "USE_AVX2=0" not in text


def test_explain_tells_the_guide_s_flags() -> None:
    text = shown("--explain")
    assert "USE_AVX=0, USE_AVX2=0" in text
    assert "-mno-avx -march=native" in text
    assert "source: PyTorch 2.6.0" in text
    assert {name for flag in report("--explain")["guide"] for name in flag["names"]} >= {"USE_AVX", "USE_QNNPACK"}


def test_a_tree_is_asked(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("jobs = os.getenv('MAX_JOBS')\n")
    (tmp_path / "CMakeLists.txt").write_text('option(USE_FBGEMM "" ON)\nif(USE_FBGEMM)\nendif()\n')
    gloo = tmp_path / "third_party/gloo/CMakeLists.txt"
    gloo.parent.mkdir(parents=True)
    gloo.write_text("set(GLOO_USE_AVX ${USE_AVX})\n")
    found = report("--source", str(tmp_path), "--explain")
    read = {one["name"]: one["read"] for one in found["settings"]}
    assert read["USE_FBGEMM"] == ["CMakeLists.txt:1", "CMakeLists.txt:2"]
    assert read["MAX_JOBS"] == ["setup.py:1"]
    assert read["USE_XPU"] == []
    guide = {name: places for flag in found["guide"] for name, places in (flag["found"] or {}).items()}
    assert (guide["USE_AVX"], guide["USE_AVX2"]) == (["third_party/gloo/CMakeLists.txt:1"], [])
    text = shown("--source", str(tmp_path))
    assert "read by CMakeLists.txt:1, CMakeLists.txt:2" in text
    assert "This tree reads nothing of: " in text
    assert "CMAKE_PROJECT_INCLUDE_BEFORE" not in text.partition("This tree reads nothing of: ")[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--version", "1.13.1"), "is not known here"),
        (("--version", "new"), "'new' is no version"),
        (("--gpu", "gfx1032"), "rocBLAS"),
        (("--march", "native"), "-march=native is refused"),
        (("--set", "USE_FBGEMM=on"), "FindMinMax"),
        (("--set", "USE_FBGEMM"), "is not NAME=VALUE"),
        (("--source", "/nowhere"), "is not there"),
    ],
)
def test_what_is_refused_says_why(arguments: tuple[str, ...], told: str) -> None:
    done = call(*arguments)
    assert isinstance(done.exception, InputError)
    assert told in str(done.exception)
    assert all(issue.fix for issue in done.exception.issues)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--target", "bookworm"), "say which: --version"),
        (("--cpu-only", "--gpu", "gfx1030"), "--gpu is for builds with ROCm"),
        (("--level", "none"), "'none' is not one of"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], told: str) -> None:
    done = call(*arguments)
    assert (done.exit_code, told in done.output) == (2, True)


def test_native_where_the_result_runs() -> None:
    assert values(report("--march", "native", "--here"))["CFLAGS"].startswith("-march=native")


def test_the_group_lists_its_commands() -> None:
    done = CliRunner().invoke(torch, ["--help"])
    assert done.exit_code == 0
    for name in ("build", "status", "watch", "settings"):
        assert f"  {name} " in done.output
