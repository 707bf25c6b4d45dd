from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from debtool.elf.depends import Found, Strength
from debtool.elf.gpu import GpuCode
from debtool.elf.needs import DlopenNote, ElfNeeds
from debtool.model.errors import InputError
from debtool.model.target import AptSource, Rocm, Soname, Target
from debtool.stack.assemble import wheel_drafts
from debtool.stack.dependencies import WheelSet, all_dependencies
from debtool.stack.facts import WheelFacts
from tests.support import drafts

if TYPE_CHECKING:
    from debtool.model.stack import Stack

SOURCE = AptSource(
    uri="https://vendor.example.org/apt",
    suite="here",
    fingerprint="CA8BB4727A47B4D09B4EE8969386B48A1A693C5C",
    key_uri="https://vendor.example.org/key",
    pin=600,
    pin_origin="vendor",
)


def wheel(
    name: str,
    version: str = "1.0",
    *requires: str,
    elf: dict[str, ElfNeeds] | None = None,
    gpu: dict[str, GpuCode] | None = None,
    extras: tuple[str, ...] = (),
) -> WheelFacts:
    return WheelFacts(
        path=Path(f"{name}.whl"),
        sha256="0" * 64,
        name=canonicalize_name(name),
        version=Version(version),
        pure=not elf,
        size=1,
        requires=requires,
        elf=elf or {},
        extras=extras,
        gpu=gpu or {},
    )


def library(*needed: str, runpath: tuple[str, ...] = (), dlopen: tuple[DlopenNote, ...] = ()) -> ElfNeeds:
    return ElfNeeds("EM_X86_64", 64, "", needed, (), runpath, {}, (), dlopen)


def together(
    *wheels: WheelFacts, stack: Stack | None = None, target: Target | None = None, locked: bool = True
) -> WheelSet:
    return WheelSet(
        stack or drafts.stack(), target or drafts.target(), {one.name: one for one in wheels}, locked=locked
    )


def depends(wheels: WheelSet, name: str) -> list[str]:
    return wheels.dependencies(canonicalize_name(name)).relations(Strength.DEPENDS)


def with_rocm(release: str = "6.3.4") -> Target:
    sonames = {"libamdhip64.so.6": Soname(package="hip-runtime-amd", source="its index")}
    return drafts.target(rocm=Rocm(release=release, gpu="gfx1030", source=SOURCE, sonames=sonames))


def test_an_extra_that_is_asked_for_is_merged_and_provided() -> None:
    wheels = together(
        wheel("app", "1.0", "web[fast]>=2"),
        wheel("web", "2.1", "loop; extra == 'fast'", "docs; extra == 'docs'", extras=("fast", "docs")),
        wheel("loop"),
    )
    assert depends(wheels, "app") == ["acme-python3-web (>= 2)", "acme-python3-web+fast"]
    assert depends(wheels, "web") == ["acme-python3-loop"]
    found = wheels.dependencies(canonicalize_name("web"))
    assert found.provides == ("acme-python3-web+fast",)
    assert [str(line.verdict) for line in found.lines] == ["holds", "extra not asked"]


def test_an_extra_that_no_wheel_has_is_told() -> None:
    wheels = together(wheel("app", "1.0", "web[fast]"), wheel("web"))
    with pytest.raises(InputError, match=r"fast.*\[wheel\.app\] requires = "):
        list(all_dependencies(wheels))


def test_an_extra_that_the_stack_asks_for_in_vain_is_told() -> None:
    requirements = drafts.stack().requirements.model_copy(update={"direct": ("web[fast]>=1", "web[docs]")})
    asking = drafts.stack(requirements=requirements)
    wheels = together(wheel("web", "1.0", extras=("docs",)), stack=asking)
    with pytest.raises(InputError, match=r"requirements\.direct: web 1\.0 has no extra fast; fix: .*: web>=1"):
        list(all_dependencies(wheels))


def test_extras_that_ask_for_each_other_come_to_an_end() -> None:
    wheels = together(
        wheel("a", "1", "b[x]; extra == 'x'", extras=("x",)),
        wheel("b", "1", "a[x]; extra == 'x'", extras=("x",)),
        wheel("app", "1", "a[x]"),
    )
    assert depends(wheels, "a") == ["acme-python3-b", "acme-python3-b+x"]


def test_a_library_of_a_distant_dependency_is_a_siblings() -> None:
    wheels = together(
        wheel("vision", "1", "torch", elf={"vision/_C.so": library("libcu.so.1", runpath=("$ORIGIN/../cu",))}),
        wheel("torch", "1", "cu"),
        wheel("cu", "1", elf={"cu/libcu.so.1": library()}),
        wheel("stranger", "1", elf={"strange/libodd.so": library()}),
    )
    [need] = wheels.dependencies(canonicalize_name("vision")).libraries
    assert (need.found, need.where) == (Found.SIBLING, "cu/libcu.so.1")


def test_a_library_of_a_stranger_is_nowhere() -> None:
    wheels = together(
        wheel("vision", "1", elf={"vision/_C.so": library("libodd.so")}),
        wheel("stranger", "1", elf={"strange/libodd.so": library()}),
    )
    found = wheels.dependencies(canonicalize_name("vision"))
    assert [issue.file for issue in found.issues] == [Path("vision.whl")]
    with pytest.raises(InputError, match=r"vision\.whl: libodd\.so: no package of here"):
        list(all_dependencies(wheels))


def test_the_stack_replaces_requirements_and_libraries() -> None:
    text = """
[wheel.app]
requires = { "gone" = "", "web" = "web >=3" }
libraries = { "libodd.so" = "libodd1 (>= 2)" }
depends = ["ffmpeg"]
reason = "it works so"
"""
    wheels = together(
        wheel("app", "1", "gone", "web<3", elf={"app/_a.so": library("libodd.so")}),
        wheel("web", "3.1"),
        stack=drafts.stack(drafts.PACKAGE + text),
    )
    assert depends(wheels, "app") == ["libodd1 (>= 2)", "acme-python3-web (>= 3)", "ffmpeg"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wheels = together(
        wheel("a", "1", "missing"),
        wheel("b", "1", elf={"b.so": library("libodd.so")}),
        wheel("c", "1", "a>=2"),
    )
    with pytest.raises(InputError) as caught:
        list(all_dependencies(wheels))
    assert [issue.file for issue in caught.value.issues] == [Path("a.whl"), Path("b.whl"), Path("c.whl")]


def test_fields_of_a_package() -> None:
    notes = (DlopenNote(("libc.so.6",), "recommended"),)
    facts = [
        wheel("app", "1", "web[fast]"),
        wheel("web", "2", extras=("fast",), elf={"web.so": library(dlopen=notes)}),
    ]
    one, other = wheel_drafts(drafts.stack(), drafts.target(), facts, bytecode=False, locked=True)
    assert one.relations["Depends"] == ("acme-python3-web", "acme-python3-web+fast")
    assert other.relations["Recommends"] == ("libc6",)
    assert other.provides == ("acme-python3-web+fast",)
    assert one.inputs()["depends"] == "acme-python3-web, acme-python3-web+fast"
    assert other.inputs()["provides"] == "acme-python3-web+fast"


class TestGpu:
    def issues(self, *codes: GpuCode, release: str = "6.3.4", any_gpu: bool = False) -> list[str]:
        text = f'[wheel.kernels]\nany_gpu = {str(any_gpu).lower()}\nreason = "tried"\n'
        one = wheel("kernels", gpu={f"{number}.so": code for number, code in enumerate(codes)})
        wheels = together(one, stack=drafts.stack(drafts.PACKAGE + text), target=with_rocm(release))
        return [str(issue) for issue in wheels.dependencies(one.name).issues]

    def test_code_for_the_machines_gpu_will_do(self) -> None:
        assert self.issues(GpuCode((("gfx1030", "gfx906"),)), GpuCode((("gfx1030",), ("gfx1030",)))) == []

    def test_code_for_others_only_is_refused_with_the_reason(self) -> None:
        [issue] = self.issues(GpuCode((("gfx1032",),)))
        assert "0.so: has device code for gfx1032 and none for gfx1030, which the GPU reports" in issue
        assert "[wheel.kernels] any_gpu = true" in issue

    def test_every_bundle_must_have_it(self) -> None:
        assert len(self.issues(GpuCode((("gfx1030",), ("gfx1100",))))) == 1

    def test_a_generic_processors_code_is_loaded_since_6_4(self) -> None:
        code = GpuCode((("gfx10-3-generic",),))
        assert self.issues(code, release="6.4.1") == []
        assert len(self.issues(code, release="6.3.4")) == 1

    def test_code_objects_come_one_file_for_each_gpu(self) -> None:
        assert self.issues(GpuCode(objects=("gfx906",), alone=True), GpuCode(objects=("gfx1030",), alone=True)) == []
        [issue] = self.issues(GpuCode(objects=("gfx906",), alone=True))
        assert "its code objects are for gfx906 and none for gfx1030" in issue

    def test_what_cannot_be_read_is_no_answer(self) -> None:
        [issue] = self.issues(GpuCode((("gfx1030",),), unread=("bundle 2: its size",)))
        assert "0.so: has device code that cannot be read: bundle 2: its size" in issue

    def test_the_stack_may_accept_it(self) -> None:
        assert self.issues(GpuCode((("gfx906",),)), any_gpu=True) == []

    def test_a_target_without_rocm_has_no_opinion(self) -> None:
        one = wheel("kernels", gpu={"a.so": GpuCode((("gfx906",),))})
        assert together(one).dependencies(one.name).issues == ()
