"""Companions: torchvision's version, and the GPUs that it is built for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

from debtool.model.target import Target, parse_target
from debtool.torch.companions import Companion, check_companions
from debtool.torch.wanted import Wanted

if TYPE_CHECKING:
    from debtool.build.checks import Check


@pytest.fixture(scope="module")
def target() -> Target:
    file = Path(__file__).parents[2] / "repo" / "targets" / "trixie.toml"
    return parse_target(file.read_text(), file)


def found(target: Target, *companions: Companion, **changes: Any) -> dict[str, Check]:
    version = Version("2.7.1+rocm6.3.noavx")
    fields = {"cpu_only": True, **changes}
    wanted = Wanted(version, target, Path(), Path(), "", companions=companions, **fields)
    return {one.name: one for one in check_companions(wanted)}


@pytest.mark.parametrize(("version", "verdict"), [("0.22.1", "ok"), ("0.22.1+local", "ok"), ("0.21.0", "warning")])
def test_torchvision_has_the_version_that_belongs_to_this_torch(target: Target, version: str, verdict: str) -> None:
    one = found(target, Companion("torchvision", version, {}))["torchvision"]
    assert (one.verdict, one.wanted) == (verdict, "torchvision 0.22.1")
    assert ('version = "0.22.1"' in one.fix) == (verdict == "warning")


def test_of_other_companions_nothing_is_known(target: Target) -> None:
    assert found(target, Companion("xformers", "0.0.1", {})) == {}


@pytest.mark.parametrize(
    ("environment", "verdict"),
    [
        ({"PYTORCH_ROCM_ARCH": "gfx1030"}, "missing"),
        ({"PYTORCH_ROCM_ARCH": "gfx1032;gfx1030"}, "ok"),
        ({"PYTORCH_ROCM_ARCH": "gfx1030 gfx1032"}, "ok"),
        ({}, "missing"),
    ],
)
def test_its_operators_are_for_the_same_gpus(target: Target, environment: dict[str, str], verdict: str) -> None:
    checks = found(target, Companion("torchvision", "0.22.1", environment), cpu_only=False, gpu=("gfx1030", "gfx1032"))
    one = checks["torchvision's GPUs"]
    assert one.verdict == verdict
    assert one.wanted == "PYTORCH_ROCM_ARCH = gfx1030;gfx1032"


def test_without_rocm_no_gpu_counts(target: Target) -> None:
    assert list(found(target, Companion("torchvision", "0.22.1", {}))) == ["torchvision"]
