"""kill -9 at any system call of an apply leaves a valid file and a valid state, and the next run mends the rest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from debtool.host.patcher.recipe import parse
from debtool.host.patcher.text import patched_text
from tests.support.patches import Machine, gradio

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = parse(gradio(), "patch.json")
CHANGING = re.compile(r"(rename|unlink|mkdir|rmdir|fsync|fchmod|fchown|write|flock|setxattr|ftruncate)\w*")


def traced(machine: Machine, arguments: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the program itself, not what it starts, under strace."""
    return subprocess.run(
        ["strace", "-qq", "-o", str(machine.root.parent / "trace"), *options, *machine.command(*arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def calls(machine: Machine, arguments: list[str]) -> list[tuple[str, int]]:
    """Return every system call after the lock was taken: its name, and its number among the calls of this name."""
    assert traced(machine, arguments).returncode == 0
    seen: dict[str, int] = {}
    found = []
    for line in (machine.root.parent / "trace").read_text().splitlines():
        name = line.partition("(")[0]
        if re.fullmatch(r"[a-z_0-9]+", name) and not name.startswith("exit"):
            seen[name] = seen.get(name, 0) + 1
            if "flock" in seen:
                found.append((name, seen[name]))
    return found


class Copy:
    """A machine that can be put back to where it was before each kill."""

    def __init__(self, folder: Path, sample: bytes, *, diverted: bool) -> None:
        path = "/srv/venv/lib/python3.12/site-packages/gradio_client/utils.py"
        document = gradio(diverted={"target": path, "pristine": f"{path}.distrib"} if diverted else None)
        self.machine = Machine(folder, sample, document)
        self.sample, self.patched = sample, patched_text(sample, RECIPE, "full")
        self.arguments = ["apply", "--trigger"] if diverted else ["apply", "--trigger", self.machine.path]
        if diverted:
            shutil.copy(self.machine.file, f"{self.machine.file}.distrib")
        (self.machine.file.parent / "__pycache__").mkdir()
        shutil.copytree(self.machine.root, folder / "before", symlinks=True)

    def reset(self) -> None:
        shutil.rmtree(self.machine.root)
        shutil.copytree(self.machine.root.parent / "before", self.machine.root, symlinks=True)

    def killed_at(self, name: str, number: int) -> None:
        self.reset()
        where = f"{name} number {number}"
        done = traced(self.machine, self.arguments, "-e", f"inject={name}:signal=KILL:when={number}")
        if done.returncode == 0:
            return  # the run came to fewer calls of this name: nothing was killed
        assert self.machine.file.read_bytes() in {self.sample, self.patched}, where
        for file in self.machine.state.glob("records/*.json"):
            assert json.loads(file.read_text())["path"] == self.machine.path, where
        after = self.machine.plain(*self.arguments)
        assert after.returncode == 0, where
        assert self.machine.file.read_bytes() == self.patched, where
        assert not [file for file in self.machine.root.rglob(".*") if file.is_file()], where
        restored = self.machine.plain("restore", self.machine.path)
        assert restored.returncode == 0, f"{where}: {restored.stderr}"
        assert self.machine.file.read_bytes() == self.sample, where


@pytest.mark.slow
@pytest.mark.parametrize("diverted", [False, True], ids=["plain", "diverted"])
def test_at_every_call_that_changes_something(tmp_path: Path, sample: bytes, diverted: bool) -> None:  # noqa: FBT001
    copy = Copy(tmp_path, sample, diverted=diverted)
    wanted = [call for call in calls(copy.machine, copy.arguments) if CHANGING.fullmatch(call[0])]
    assert {"renameat", "fsync", "mkdir"} <= {name.removesuffix("2") for name, _ in wanted}
    assert len(wanted) > 15
    for name, number in wanted:
        copy.killed_at(name, number)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_at_every_call(tmp_path: Path, sample: bytes) -> None:
    copy = Copy(tmp_path, sample, diverted=False)
    wanted = calls(copy.machine, copy.arguments)
    assert len(wanted) > 200
    for name, number in wanted:
        copy.killed_at(name, number)
