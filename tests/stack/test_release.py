"""The line from a stack file to a signed suite, with tiny wheels."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from debtool.archive.archive import Archive
from debtool.deb.reader import list_paths, read_control
from debtool.model.errors import InputError
from debtool.stack.release import build_release, plan_release
from tests.support.drafts import Notes

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.stack.release import Released
    from tests.support.workshops import Workshop

NAMES = [
    "acme-app",
    "acme-archive-keyring",
    "acme-deps",
    "acme-doctor",
    "acme-python3-alpha",
    "acme-python3-beta",
    "acme-runtime",
]


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    status = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (one.st_ino, one.st_mtime_ns) for name, one in status.items()}


def actions(released: Released) -> dict[str, str]:
    return {package.name: package.action for package in released.plan.packages}


def test_a_plan_writes_nothing_but_the_cache(workshop: Workshop) -> None:
    plan = plan_release(workshop.request(), Notes())
    assert [package.name for package in sorted(plan.packages, key=lambda package: package.name)] == NAMES
    assert {package.action for package in plan.packages} == {"build"}
    assert not (workshop.folder / "public").exists()
    assert workshop.debs() == {}


def test_a_release_publishes_the_whole_set_and_a_second_one_nothing(workshop: Workshop) -> None:
    first = workshop.release()
    assert set(actions(first).values()) == {"build"}
    assert [package.name for package in first.archive.published("here-stable")] == NAMES
    assert ("build", 7) in workshop.notes.stages
    assert first.archive.check("here-stable") == ()

    public = snapshot(workshop.folder / "public")
    cache = snapshot(workshop.folder / "cache")
    second = workshop.release()
    assert set(actions(second).values()) == {"keep"}
    assert not second.publication.switched
    assert workshop.notes.stages == []
    assert snapshot(workshop.folder / "public") == public
    assert snapshot(workshop.folder / "cache") == cache


def test_a_change_carries_on_to_what_depends_on_it_exactly(workshop: Workshop) -> None:
    workshop.release()
    (workshop.folder / "app/main.py").write_text("print('goodbye')\n")
    assert actions(workshop.release()) == {**dict.fromkeys(NAMES, "keep"), "acme-app": "build"}

    workshop.wheel("beta", "0.6")
    workshop.lock()
    released = workshop.release()
    changed = {"acme-python3-beta", "acme-deps", "acme-app"}
    assert actions(released) == {name: "build" if name in changed else "keep" for name in NAMES}
    versions = {package.name: str(package.build.version) for package in released.plan.packages}
    assert versions["acme-python3-beta"] == "0.6-1~here1"
    assert versions["acme-deps"] == "1.0-2~here1"
    assert versions["acme-app"] == "2.0-3~here1"
    deps = read_control(workshop.folder / "cache/debs/acme/acme-deps_1.0-2~here1_amd64.deb")
    assert deps["Depends"] == "acme-python3-alpha (= 1.2.0-1~here1), acme-python3-beta (= 0.6-1~here1)"


def test_another_channel_reuses_what_was_built(workshop: Workshop) -> None:
    workshop.change('homepage = "https://example.org/acme"', 'homepage = "https://example.org/other"')
    workshop.release(channel="canary")
    released = workshop.release(channel="stable")
    # The keyring belongs to the channel that ordinary machines follow, so it is the same in both.
    assert set(actions(released).values()) == {"reuse"}
    assert ("build", 7) not in workshop.notes.stages
    assert released.archive.published("here-stable") == released.archive.published("here-canary")


def test_an_interrupted_release_is_taken_up_again(workshop: Workshop) -> None:
    _, built = build_release(workshop.request(), Notes())
    assert len(built) == 7
    archive = Archive.open(workshop.folder / "public")
    assert archive.suites() == ()
    before = snapshot(workshop.folder / "cache/debs")
    workshop.release()
    assert {name: now for name, now in snapshot(workshop.folder / "cache/debs").items() if name in before} == before
    assert not any(stage == "build" for stage, _ in workshop.notes.stages)


def test_a_part_is_taken_from_the_tree_where_the_tree_has_it(workshop: Workshop) -> None:
    part = '\n[[package.parts]]\nat = "lib/extra"\nsource = { path = "extra" }\n\n[package.service]\n'
    workshop.change("\n[package.service]\n", part)
    workshop.lock()
    with pytest.raises(InputError, match=r"extra: there is no such source tree"):
        workshop.release()
    (workshop.folder / "extra").mkdir()
    (workshop.folder / "extra/a.py").write_text("from = 'elsewhere'\n")
    workshop.release()
    assert "/usr/share/acme/app/lib/extra/a.py" in list_paths(workshop.debs()["acme-app"])
    (workshop.folder / "app/lib/extra").mkdir()
    (workshop.folder / "app/lib/extra/b.py").write_text("from = 'here'\n")
    workshop.release()
    newest = workshop.folder / "cache/debs/acme/acme-app_2.0-2~here1_all.deb"
    assert [path for path in list_paths(newest) if "/extra/" in path] == ["/usr/share/acme/app/lib/extra/b.py"]


def test_a_bad_wheel_is_told_and_nothing_is_published(workshop: Workshop) -> None:
    replace_beta(workshop, "0.7", damaged=True)
    with pytest.raises(InputError, match=r"beta-0\.7-py3-none-any\.whl.*beta\.py.*; fix: "):
        workshop.release()
    assert Archive.open(workshop.folder / "public").suites() == ()
    assert "acme-python3-beta" not in workshop.debs()
    assert "acme-app" in workshop.debs()


def test_a_requirement_that_the_set_does_not_meet_is_told(workshop: Workshop) -> None:
    replace_beta(workshop, "3.0")
    with pytest.raises(InputError, match=r"requires beta<2,>=0\.5, and the lock has beta 3\.0"):
        workshop.release()
    assert Archive.open(workshop.folder / "public").suites() == ()


def replace_beta(workshop: Workshop, version: str, *, damaged: bool = False) -> None:
    """Put another wheel of beta into the lock than a resolution would."""
    wheel = workshop.wheel("beta", version, body="NAME = 'beta'\n")
    if damaged:
        wheel.write_bytes(wheel.read_bytes().replace(b"NAME", b"GAME"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    file = workshop.folder / "locks/acme.here.txt"
    line = f"beta=={version} --hash=sha256:{digest}  # wheel {wheel.name}"
    old = file.read_text().splitlines()
    file.write_text("\n".join(line if one.startswith("beta==") else one for one in old) + "\n")


def test_without_a_lock_or_with_an_old_one_it_says_how_to_make_it(workshop: Workshop) -> None:
    workshop.change('direct = ["alpha>=1.0"]', 'direct = ["alpha>=1.1"]')
    fix = rf"fix: debtool --config {workshop.folder}/stack\.toml lock --target here"
    with pytest.raises(InputError, match=rf"inputs: was made from other requirements than the stack has now; {fix}"):
        workshop.release()
    (workshop.folder / "locks/acme.here.txt").unlink()
    with pytest.raises(InputError, match=rf"there is no lock for here; {fix}"):
        workshop.release()


def test_an_unknown_channel_is_told_with_the_known_ones(workshop: Workshop) -> None:
    with pytest.raises(InputError, match=r"there is no channel 'beta'; fix: one of canary, stable, or add it there"):
        workshop.release(channel="beta")


def test_a_stack_without_wheels_and_trees_is_released_too(workshop: Workshop) -> None:
    workshop.change('direct = ["alpha>=1.0"]', "direct = []")
    workshop.lock()
    assert sorted(actions(workshop.release())) == [name for name in NAMES if "python3" not in name]
