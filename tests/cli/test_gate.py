"""What the commands say of wheels that execute more than the stack's baseline, and with which exit code."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.stack.test_rebuild import sdist
from tests.support.native import AVX2, PLAIN, add_gamma

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.support.workshops import Workshop

pytestmark = pytest.mark.slow


HERE = ("--target", "here", "--no-bytecode")


def test_a_plan_shows_the_refusal_and_a_release_does_nothing_else(program: Program, workshop: Workshop) -> None:
    add_gamma(workshop, AVX2)
    config = ("--config", str(workshop.folder / "stack.toml"))
    for command in (("plan",), ("release", "--dry-run")):
        done = program(*config, *command, *HERE)
        assert done.code == 1
        assert "1 wheel audited for Intel Westmere" in done.out
        assert "1 refused; 0 run emulated" in done.out
        assert "acme-python3-gamma: gamma 3.0: 1 function may execute what westmere lacks" in done.err
        assert "  - compile it for the baseline" in done.err
    for mutating in ("build", "release"):
        done = program(*config, mutating, *HERE)
        assert (done.code, done.out) == (1, "")
        assert "unguarded add_eight in gamma/native.so" in done.err
    assert not (workshop.folder / "public").exists()

    done = program(*config, "plan", *HERE, "--json")
    assert done.code == 1
    audit = json.loads(done.out)["audit"]
    [wheel] = audit["wheels"]
    assert (wheel["wheel"], wheel["standing"], wheel["findings"]) == ("gamma", "refused", 1)
    assert [issue["field"] for issue in audit["refusals"]] == ["acme-python3-gamma"]


def test_the_offered_exception_can_be_pasted_and_is_shown(program: Program, workshop: Workshop) -> None:
    add_gamma(workshop, AVX2)
    file = workshop.folder / "stack.toml"
    refusal = program("--config", file, "plan", *HERE).err
    block = refusal.rpartition("[[exception]]")[2].replace('"SAY WHY"', '"nothing calls it"')
    assert block
    with file.open("a") as stream:
        stream.write(f"\n[[exception]]{block}")
    done = program("--config", file, "plan", *HERE)
    assert (done.code, "warning" in done.err) == (0, False), done.err
    assert "1 excepted" in done.out
    assert ": nothing calls it" in done.out
    text = file.read_text().replace('["add_eight"]', '["*"]')
    file.write_text(text)
    done = program("--config", file, "release", *HERE)
    assert done.code == 0
    assert "debtool: warning: " in done.err
    assert "covers whatever is found" in done.err


def test_a_wheel_is_rebuilt_in_one_command(program: Program, workshop: Workshop) -> None:
    add_gamma(workshop, AVX2)
    sdist(workshop)
    file = workshop.folder / "stack.toml"
    before = file.read_bytes()
    rebuild = ("--config", file, "wheel", "rebuild", "gamma", "--target", "here")
    done = program(*rebuild, "--dry-run")
    assert done.code == 0, done.err
    assert f"would change {file}\nwould change {workshop.folder}/locks/acme.here.txt\n\n[[rebuild]]\n" in done.out
    planned = json.loads(program(*rebuild, "--dry-run", "--json").out)
    assert (planned["kind"], planned["sdist"], planned["cpu"]) == ("wheel-rebuild-plan", "gamma-3.0.tar.gz", "westmere")
    assert file.read_bytes() == before

    made = json.loads(program(*rebuild, "--cpu", "westmere", "--json").out)
    assert (made["level"], made["built"]["reused"], len(made["files"])) == ("free", False, 2)
    done = program(*rebuild)
    assert "gamma-3.0-py3-none-linux_x86_64.whl: free on Intel Westmere" in done.out
    assert "the stack and its lock say so already" in done.out
    assert program("--config", file, "plan", *HERE).code == 0


def test_a_rebuild_that_is_no_better_ends_with_its_own_exit_code(program: Program, workshop: Workshop) -> None:
    add_gamma(workshop, AVX2)
    sdist(workshop, f"#ifdef PLAIN\n{PLAIN}\n#else\n{AVX2}\n#endif\n")
    file = workshop.folder / "stack.toml"
    before = file.read_bytes()
    rebuild = ("--config", file, "wheel", "rebuild", "gamma", "--target", "here")
    done = program(*rebuild)
    assert done.code == 1
    assert "nothing was put in place" in done.err
    assert file.read_bytes() == before
    assert program(*rebuild, "--config-setting", "plain").code == 2
    assert program(*rebuild, "--config-setting", "plain=yes").code == 0
    assert os.fspath(file) in program(*rebuild, "--config-setting", "plain=no").err


def test_a_stack_without_a_baseline_must_be_told_the_cpu(program: Program, workshop: Workshop) -> None:
    done = program("--config", workshop.folder / "stack.toml", "wheel", "rebuild", "alpha", "--target", "here")
    assert done.code == 2
    assert "--cpu westmere" in done.err
