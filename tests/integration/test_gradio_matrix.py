"""Three cells of the matrix of benchmarks/gradio_matrix.py: Gradio as it is installed, served, before and after."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from debtool.wheel.bytecode import find_interpreter
from tests.support.gradio_cells import GradioEnvironment, held_against
from tests.support.patch_packages import gradio

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PYTHON = "3.12"
FAILS, WORKS = (500, 500), (200, 200)


def test_the_last_affected_client_fails_with_a_new_pydantic_only_and_works_when_patched(tmp_path: Path) -> None:
    environment = GradioEnvironment(tmp_path, Version("1.7.2"), find_interpreter(PYTHON))

    new = environment.measure("new", [Version("2.11.10")])
    assert (new.before.page, new.before.info) == FAILS
    assert new.before.api == "TypeError: argument of type 'bool' is not iterable"
    assert "localhost is not accessible" in new.before.launch, "what users are told"
    assert new.after.works
    assert new.after.wrong_models() == []
    assert held_against(gradio(), new) == []

    old = environment.measure("old", [Version("2.10.6")])
    assert old.before.works
    assert old.after.works
    assert (old.status["state"], old.status["needed"]) == ("patched", False)
    assert held_against(gradio(), old) == []

    # What would contradict the patch file is told.
    assert held_against(gradio(), replace(new, after=new.before))
    assert held_against(gradio(), replace(new, before=old.before))
    assert held_against(gradio(), replace(old, before=new.before))
    assert held_against(gradio(), replace(old, restored=False))


def test_a_client_that_was_mended_upstream_is_left_alone(tmp_path: Path) -> None:
    environment = GradioEnvironment(tmp_path, Version("2.7.2"), find_interpreter(PYTHON))
    cell = environment.measure("new", [Version("2.11.10")])
    assert (cell.before.page, cell.before.info) == WORKS
    assert cell.before.works
    assert (cell.status["state"], cell.changed) == ("unaffected", False)
    assert cell.after == cell.before
    assert held_against(gradio(), cell) == []
    assert held_against(gradio(), replace(cell, changed=True)) == ["the file was changed"]
