"""Artefacts of kind build: a release takes what a long build has left, or says how to have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.build.results import keep
from debtool.deb.files import sha256_of
from debtool.deb.reader import list_paths
from debtool.model.errors import InputError
from debtool.stack.release import plan_release
from debtool.stack.why import why
from tests.support.drafts import Notes
from tests.support.workshops import PYTHON

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.build.results import Kept
    from tests.support.workshops import Workshop

VERSION = "2.7.1+rocm6.3.noavx"


def need(workshop: Workshop, *names: str, more: str = "") -> None:
    """Let the stack need distributions that are built for it, with ``more`` keys; lock it."""
    direct = ", ".join(f'"{name}"' for name in ("alpha>=1.0", *names))
    tables = "".join(
        f'[[artefact]]\nname = "{name}"\nversion = "{VERSION}"\nkind = "build"\ntargets = ["here"]\n{more}\n'
        for name in names
    )
    workshop.change('direct = ["alpha>=1.0"]\n', f"direct = [{direct}]\n\n{tables}")
    workshop.lock()


def build(workshop: Workshop, name: str = "torch", body: str = "", version: str = VERSION) -> Path:
    """Make a wheel where pip does not look."""
    return workshop.wheels.wheel(name, version, body=body, folder=workshop.folder / "dist")


def keep_result(workshop: Workshop, wheel: Path, name: str = "torch", target: str = "here") -> Kept:
    return keep(workshop.folder / "cache", target, name, VERSION, wheel, {"build.log": b"[2/2] Linking\n"})


def test_a_release_goes_on_with_what_was_built(workshop: Workshop) -> None:
    need(workshop, "torch")
    keep_result(workshop, build(workshop))
    plan = plan_release(workshop.request(), Notes())
    [planned] = [package for package in plan.packages if package.name == "acme-python3-torch"]
    assert str(planned.build.version) == f"{VERSION}-1~here1"
    released = workshop.release()
    site_packages = f"/usr/lib/acme/venv/lib/python{PYTHON}/site-packages"
    assert f"{site_packages}/torch.py" in list_paths(workshop.debs()["acme-python3-torch"])
    answer = why(workshop.request(), "deps", "torch", Notes())
    assert [step.on for step in answer.steps] == ["acme-python3-torch"]
    assert [step.reasons for step in answer.steps] == [
        (f"the lock has {VERSION}, and the set that was tested is the set that is installed",)
    ]
    assert released.plan.changes
    assert not workshop.release().plan.changes

    # What is built anew and is another wheel makes another package, and only that one and what depends on it exactly.
    keep_result(workshop, build(workshop, body="more = 1\n"))
    built = {package.name for package in workshop.release().plan.of("build")}
    assert built == {"acme-python3-torch", "acme-deps", "acme-app"}


def test_what_is_not_built_yet_is_told_with_the_command(workshop: Workshop) -> None:
    need(workshop, "torch", "gamma")
    keep_result(workshop, build(workshop), target="elsewhere")
    with pytest.raises(InputError) as caught:
        workshop.release()
    torch, gamma = sorted(caught.value.issues, key=str, reverse=True)
    assert torch.field == "artefact torch"
    assert torch.problem == f"torch {VERSION} is built from source for this target, and its wheel is not here"
    command = f"debtool --config {workshop.folder}/stack.toml torch build --target here"
    assert torch.fix == f"{command}, or give the wheel: --source torch=PATH"
    assert gamma.fix == "give the wheel: --source gamma=PATH"
    assert workshop.notes.stages == []  # it is told before anything is fetched


def test_a_damaged_result_is_told_beside_what_is_missing(workshop: Workshop) -> None:
    need(workshop, "torch", "gamma")
    kept = keep_result(workshop, build(workshop))
    kept.wheel.write_bytes(b"another")
    with pytest.raises(InputError) as caught:
        plan_release(workshop.request(), Notes())
    assert [issue.file for issue in caught.value.issues] == [kept.wheel, None]
    assert "debtool torch build --target here" in caught.value.issues[0].fix


def test_a_wheel_that_is_given_comes_before_what_was_built(workshop: Workshop) -> None:
    need(workshop, "torch")
    kept = keep_result(workshop, build(workshop))
    kept.wheel.write_bytes(b"another")  # it is not even looked at
    given = build(workshop, body="given = 1\n")
    plan = plan_release(workshop.request(sources={"torch": str(given)}), Notes())
    assert "acme-python3-torch" in {package.name for package in plan.packages}


@pytest.mark.parametrize("given", [False, True])
def test_a_pinned_wheel_is_checked(workshop: Workshop, given: bool) -> None:  # noqa: FBT001 -- a table's column
    wheel = build(workshop)
    need(workshop, "torch", more=f'sha256 = "{sha256_of(wheel)}"\n')

    def plan(wheel: Path) -> None:
        if not given:
            keep_result(workshop, wheel)
        plan_release(workshop.request(sources={"torch": str(wheel)} if given else {}), Notes())

    plan(wheel)
    with pytest.raises(InputError, match=r"stack\.toml: artefact torch: torch-2\.7\.1.*\.whl has the SHA-256 .*, the "):
        plan(build(workshop, body="another = 1\n"))
