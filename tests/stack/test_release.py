"""The line from a stack file to a signed suite, with tiny wheels."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from debtool.archive.archive import Archive
from debtool.audit.findings import Level
from debtool.audit.gate import Fault, ProbeResult, Verdict, keep_verdict
from debtool.deb.reader import list_paths, read_control
from debtool.model.errors import FindingsError, InputError
from debtool.stack.audit import Standing
from debtool.stack.release import build_release, plan_release
from tests.support.drafts import Notes
from tests.support.native import AVX2, PLAIN, add_gamma

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.stack.release import Released
    from tests.support.workshops import Workshop

pytestmark = pytest.mark.slow

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


def exception(expires: dt.date, functions: str = "add_*", reason: str = "nothing calls it") -> str:
    return f'[[exception]]\nwheel = "gamma"\nfunctions = ["{functions}"]\nreason = "{reason}"\nexpires = {expires}\n'


def in_days(days: int) -> dt.date:
    return dt.datetime.now(dt.UTC).date() + dt.timedelta(days)


def audit_of(deb: Path, workshop: Workshop) -> dict[str, Any]:
    """Return the audit that the package of gamma carries."""
    data = workshop.folder / "data.tar"
    with data.open("wb") as out:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=out, check=True)
    with tarfile.open(data) as archive:
        member = archive.extractfile("./usr/share/doc/acme-python3-gamma/isa-audit.json")
        assert member is not None
        document: dict[str, Any] = json.load(member)
    return document


def test_a_wheel_that_executes_more_than_the_baseline_is_refused_before_anything_is_written(workshop: Workshop) -> None:
    add_gamma(workshop, AVX2)
    for act in (workshop.release, lambda: build_release(workshop.request(), Notes())):
        with pytest.raises(
            FindingsError, match=r"unguarded add_eight in gamma/native\.so \(AVX [0-9]+, AVX2 "
        ) as caught:
            act()
        assert caught.value.exit_code == 1
        assert [issue.field for issue in caught.value.issues] == ["acme-python3-gamma"]
    assert not (workshop.folder / "public").exists()
    assert workshop.debs() == {}
    plan = plan_release(workshop.request(), Notes())
    assert plan.refusals == caught.value.issues
    assert "wheel rebuild gamma --cpu westmere --target here" in plan.refusals[0].fix


def test_the_audit_is_in_the_package_and_the_second_release_writes_nothing(workshop: Workshop) -> None:
    add_gamma(workshop, PLAIN)
    released = workshop.release()
    assert released.plan.gate is not None
    assert [one.standing for one in released.plan.gate.wheels.values()] == [Standing.FREE]
    deb = workshop.debs()["acme-python3-gamma"]
    assert read_control(deb)["Debtool-Isa-Audit"] == "westmere free"
    document = audit_of(deb, workshop)
    assert document["level"] == Level.FREE
    # No path of this machine: the same wheel gives the same document everywhere.
    assert document["subject"] == "gamma-3.0-py3-none-manylinux_2_17_x86_64.whl"
    assert str(workshop.folder) not in json.dumps(document)
    alpha = workshop.debs()["acme-python3-alpha"]
    assert "Debtool-Isa-Audit" not in read_control(alpha)
    assert not [path for path in list_paths(alpha) if "isa-audit" in path]

    before = [snapshot(workshop.folder / name) for name in ("public", "cache")]
    again = workshop.release()
    assert not again.publication.switched
    assert workshop.notes.stages == []
    assert [snapshot(workshop.folder / name) for name in ("public", "cache")] == before


def test_an_exception_lets_it_pass_and_is_told_in_the_package(workshop: Workshop) -> None:
    far = in_days(300)
    add_gamma(workshop, AVX2, exception(far))
    released = workshop.release()
    assert released.plan.warnings == ()
    deb = workshop.debs()["acme-python3-gamma"]
    assert read_control(deb)["Debtool-Isa-Audit"] == "westmere excepted"
    [excepted] = audit_of(deb, workshop)["exceptions"]
    assert (excepted["reason"], excepted["expires"]) == ("nothing calls it", str(far))
    assert excepted["covers"] == ["add_eight"]

    # What a user decided of it is an input; what the rules and the emulated gate say is none.
    workshop.change("nothing calls it", "nothing calls it, I looked")
    assert {name for name, action in actions(workshop.release()).items() if action == "build"} == {
        "acme-python3-gamma",
        "acme-deps",
        "acme-app",
    }


def test_an_exception_that_is_over_refuses_and_one_that_is_soon_over_warns(workshop: Workshop) -> None:
    add_gamma(workshop, AVX2, exception(in_days(-1)))
    with pytest.raises(FindingsError, match=r"stack\.toml:[0-9]+: exception\[1\]\.expires: .* was over on"):
        workshop.release()
    assert not (workshop.folder / "public").exists()
    workshop.change(str(in_days(-1)), str(in_days(3)))
    released = workshop.release()
    assert ["over in 3 days" in issue.problem for issue in released.plan.warnings] == [True]


def test_an_exception_that_covers_nothing_warns(workshop: Workshop) -> None:
    add_gamma(workshop, PLAIN, exception(in_days(300)))
    released = workshop.release()
    assert ["covers nothing" in issue.problem for issue in released.plan.warnings] == [True]


def test_the_newest_verdict_of_the_emulated_gate_decides(workshop: Workshop) -> None:
    wheel = add_gamma(workshop, PLAIN)
    workshop.release()
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    fault = Fault(0x1000, "c5fdefc0", "vpxor ymm0,ymm0,ymm0", "answer+0x2", "answer", "gamma/native.so", ("g.py:1 f",))
    good, bad = ProbeResult("import gamma", "same"), ProbeResult("call it", "sigill", "", fault)
    for results, standing in (((good,), Standing.FREE), ((good, bad), Standing.REFUSED)):
        probes = hashlib.sha256(repr(results).encode()).hexdigest()
        verdict = Verdict(wheel.name, sha256, "Westmere", "qemu 7.2", probes, "a control", 1, results)
        keep_verdict(workshop.folder / "cache", verdict)
        plan = plan_release(workshop.request(), Notes())
        assert plan.gate is not None
        assert plan.gate.wheels["gamma"].standing is standing
        assert {package.action for package in plan.packages} == {"keep"}
    with pytest.raises(
        FindingsError, match=r"call it: vpxor ymm0,ymm0,ymm0 \(c5fdefc0\) in answer of gamma/native\.so"
    ):
        workshop.release()


def test_a_stack_may_ask_for_a_verdict(workshop: Workshop) -> None:
    add_gamma(workshop, PLAIN, head='emulate = "required"\n')
    with pytest.raises(FindingsError, match=r"fix: debtool .* audit run --lock --target here --cpu westmere"):
        workshop.release()


def test_an_unknown_baseline_is_told_before_anything_is_fetched(workshop: Workshop) -> None:
    workshop.change('targets = ["here"]\n', 'targets = ["here"]\nbaseline = "westmeer"\n')
    with pytest.raises(InputError, match=r"stack\.toml:11: baseline: there is no CPU baseline called 'westmeer'"):
        workshop.release()
    assert not (workshop.folder / "cache").exists()
