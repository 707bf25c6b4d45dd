from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, OutsideError
from debtool.model.stack import Stack
from debtool.model.target import Target, parse_target
from debtool.wheel import resolve

if TYPE_CHECKING:
    from tests.support.wheels import TinyWheels

TARGETS = Path(__file__).parents[2] / "repo" / "targets"


def _target(name: str = "bookworm") -> Target:
    file = TARGETS / f"{name}.toml"
    return parse_target(file.read_text(), file)


def _stack(direct: list[str], **more: Any) -> Stack:
    return Stack.model_validate(
        {
            "schema": 1,
            "name": "s",
            "title": "t",
            "prefix": "p",
            "install_prefix": "/usr/lib/p",
            "maintainer": "A <a@example.org>",
            "homepage": "https://example.org/",
            "version": "1",
            "date": "2026-11-23",
            "targets": ["bookworm", "noble"],
            "requirements": {"direct": direct, **more.pop("requirements", {})},
            "package": [{"recipe": "meta", "name": "deps", "summary": "s", "description": "d"}],
            **more,
        }
    )


TORCH = {
    "name": "torch",
    "version": "2.13.0+cpu",
    "kind": "external",
    "targets": ["bookworm"],
    "requires": ["helper>=2"],
}


def test_the_targets_own_best_wheel_is_locked(tiny_index: TinyWheels) -> None:
    right = tiny_index.wheel("fast", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    for tag in ("cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_38_x86_64", "py3-none-any"):
        tiny_index.wheel("fast", "1.0", tag=tag)
    [entry] = resolve.lock(_stack(["fast"]), _target()).files
    assert (entry.file, entry.sha256) == (right.name, sha256_of(right))


def test_markers_are_the_targets(tiny_index: TinyWheels) -> None:
    for version in ("1.0", "2.0"):
        tiny_index.wheel("pinned", version)
    stack = _stack(["pinned==1.0; python_version < '3.12'", "pinned==2.0; python_version >= '3.12'"])
    assert str(resolve.lock(stack, _target("bookworm")).versions["pinned"]) == "1.0"  # type: ignore[index]
    assert str(resolve.lock(stack, _target("noble")).versions["pinned"]) == "2.0"  # type: ignore[index]


def test_an_artefact_is_never_taken_from_the_index(tiny_index: TinyWheels) -> None:
    tiny_index.wheel("torch", "2.13.0", requires=["nvidia-everything"])
    tiny_index.wheel("torch", "99", requires=["nvidia-everything"])
    tiny_index.wheel("helper", "2.1")
    tiny_index.wheel("app", "1.0", requires=["torch"])
    lock = resolve.lock(_stack(["app"], artefact=[TORCH]), _target())
    assert [str(entry) for entry in lock.artefacts] == ["#: torch==2.13.0+cpu external"]
    assert [entry.name for entry in lock.files] == ["app", "helper"]


def test_what_an_artefact_does_not_satisfy_is_an_error(tiny_index: TinyWheels) -> None:
    tiny_index.wheel("app", "1.0", requires=["torch<2"])
    tiny_index.wheel("helper", "2.1")
    with pytest.raises(InputError, match="depend on torch<2"):
        resolve.lock(_stack(["app"], artefact=[TORCH]), _target())


def test_an_sdist_counts_only_if_the_stack_lists_it(tiny_index: TinyWheels) -> None:
    sdist = tiny_index.sdist("old", "1.0", {"pyproject.toml": '[project]\nname = "old"\nversion = "1.0"\n'})
    tiny_index.wheel("later", "1.0", tag="cp312-cp312-manylinux_2_17_x86_64")
    tiny_index.sdist("later", "1.0", {"pyproject.toml": '[project]\nname = "later"\nversion = "1.0"\n'})
    with pytest.raises(InputError) as caught:
        resolve.lock(_stack(["old", "later"]), _target())
    assert [issue.problem for issue in caught.value.issues] == [
        "later 1.0 has no wheel for bookworm",
        "old 1.0 has no wheel for bookworm",
    ]
    lock = resolve.lock(_stack(["old"], requirements={"sdists": ["old"]}), _target())
    assert [(entry.file, entry.sha256) for entry in lock.files] == [(sdist.name, sha256_of(sdist))]


def test_the_sdist_of_what_the_stack_compiles_is_locked(tiny_index: TinyWheels) -> None:
    tiny_index.wheel("fast", "1.0")
    tiny_index.wheel("bare", "1.0")
    sdist = tiny_index.sdist("fast", "1.0", {"pyproject.toml": '[project]\nname = "fast"\nversion = "1.0"\n'})

    def rebuild(*names: str) -> list[dict[str, Any]]:
        return [{"wheel": name, "cpu": "westmere", "targets": ["bookworm"], "reason": "r"} for name in names]

    fast, bare = resolve.lock(_stack(["fast", "bare"], rebuild=rebuild("fast")), _target()).files[::-1]
    assert (fast.file, fast.sha256, fast.cpu) == (sdist.name, sha256_of(sdist), "westmere")
    assert (bare.is_wheel, bare.cpu) == (True, None)
    assert all(one.is_wheel for one in resolve.lock(_stack(["fast"], rebuild=rebuild("fast")), _target("noble")).files)
    with pytest.raises(InputError) as caught:
        resolve.lock(_stack(["bare"], rebuild=rebuild("bare", "fast")), _target())
    assert [issue.problem for issue in caught.value.issues] == [
        "bare 1.0 has no sdist for bookworm",
        "nothing requires fast for bookworm",
    ]


def test_contradicting_requirements_are_the_users_to_mend(tiny_index: TinyWheels) -> None:
    tiny_index.wheel("one", "1.0", requires=["two<2"])
    tiny_index.wheel("two", "2.0")
    with pytest.raises(InputError) as caught:
        resolve.lock(_stack(["one", "two>=2"]), _target())
    assert "one" in str(caught.value)
    assert str(tiny_index.folder) not in str(caught.value)


def test_constraints_hold_back_what_others_require(tiny_index: TinyWheels) -> None:
    tiny_index.wheel("one", "1.0", requires=["two"])
    for version in ("80.0", "81.0"):
        tiny_index.wheel("two", version)
    lock = resolve.lock(_stack(["one"], requirements={"constraints": ["two<81"]}), _target())
    assert str(lock.versions["two"]) == "80.0"  # type: ignore[index]


def test_an_unreachable_index_is_told_with_its_fix(
    tiny_index: TinyWheels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "unreachable.conf"
    config.write_text("[global]\nindex-url = http://127.0.0.1:9/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(OutsideError, match="committed lock"):
        resolve.lock(_stack(["one"]), _target())
    assert not list(tiny_index.folder.iterdir())


def test_uv_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(uv, "find_uv_bin", find_nothing)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(OutsideError, match="pip install uv"):
        resolve.lock(_stack(["one"]), _target())


def test_the_inputs_digest_follows_the_stack_and_nothing_else() -> None:
    digest = resolve.inputs_digest(_stack(["one"], artefact=[TORCH]), _target())
    assert digest == resolve.inputs_digest(_stack(["one"], artefact=[TORCH], version="2"), _target())
    changed = [
        _stack(["one>=1"], artefact=[TORCH]),
        _stack(["one"], artefact=[{**TORCH, "version": "2.14.0+cpu"}]),
        _stack(["one"], artefact=[{**TORCH, "requires": ["helper"]}]),
        _stack(["one"], artefact=[TORCH], requirements={"sdists": ["one"]}),
        _stack(["one"], artefact=[TORCH], rebuild=[{"wheel": "one", "cpu": "westmere", "reason": "r"}]),
        _stack(["one"], artefact=[TORCH], rebuild=[{"wheel": "one", "cpu": "nehalem", "reason": "r"}]),
    ]
    digests = {resolve.inputs_digest(stack, _target()) for stack in changed}
    assert len({*digests, digest, resolve.inputs_digest(_stack(["one"]), _target("noble"))}) == 8
    elsewhere = {"wheel": "one", "cpu": "westmere", "targets": ["noble"], "reason": "r"}
    assert digest == resolve.inputs_digest(_stack(["one"], artefact=[TORCH], rebuild=[elsewhere]), _target())


def test_what_uv_says_is_read_without_its_addresses(tiny_index: TinyWheels) -> None:
    tiny_index.wheel("one", "1.0")
    lock = str(resolve.lock(_stack(["one"]), _target()))
    assert "://" not in lock
    assert str(tiny_index.folder) not in lock


def test_an_index_without_hashes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    package = {"name": "one", "version": "1.0", "wheels": [{"url": "https://example.org/one-1.0-py3-none-any.whl"}]}

    def answer(*_arguments: object, **_options: object) -> list[dict[str, Any]]:
        return json.loads(json.dumps([package]))  # type: ignore[no-any-return]

    monkeypatch.setattr(resolve, "resolved", answer)
    with pytest.raises(InputError, match="tells no SHA-256"):
        resolve.lock(_stack(["one"]), _target())


def test_uv_never_sees_the_users_project(
    tiny_index: TinyWheels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_index.wheel("one", "1.0")
    (tmp_path / "uv.toml").write_text("this is no configuration")
    # uv looks no further up than this, also where the tests' folder lies in a checkout.
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "users-own"\nversion = "1"\n')
    monkeypatch.chdir(tmp_path)
    assert subprocess.run([uv.find_uv_bin(), "pip", "list"], capture_output=True, check=False).returncode
    assert resolve.lock(_stack(["one"]), _target()).files
