"""debtool as a user installs it: from its wheel, in an environment of its own, with no checkout near."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from tests.support.stacks import REPOSITORY
from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@dataclass
class Installed:
    """An installed debtool and a home of its user."""

    program: Path
    home: Path
    shipped: Path

    def run(self, *arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DEBTOOL"))}
        environment |= {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": f"{self.home}/cache",
            "XDG_DATA_HOME": f"{self.home}/d",
        }
        return subprocess.run(
            [self.program, *arguments], cwd=folder or "/", env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    uv = find_uv_bin()
    # The interpreter of the tests has what debtool needs; only debtool itself is new.
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, REPOSITORY], check=True)
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [wheel] = folder.glob("*.whl")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", venv / "bin/python", wheel], check=True)
    [shipped] = venv.glob("lib/python*/site-packages/debtool/_shipped")
    home = tmp_path_factory.mktemp("h")
    return Installed(venv / "bin/debtool", home, shipped)


def snapshot(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if "__pycache__" not in str(path)}


def test_it_works_without_a_checkout(installed: Installed, tmp_path: Path) -> None:
    before = snapshot(installed.shipped)

    def run(*arguments: str | Path, code: int = 0, folder: Path | None = None) -> str:
        done = installed.run(*arguments, folder=folder)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        return done.stdout + done.stderr

    assert "noble-rocm6.3" in run("target", "list")
    wheel = TinyWheels(tmp_path).wheel("tiny", "1.0")
    run("wheel", "deb", wheel, "--target", "bookworm", "--out", tmp_path, "--no-bytecode")
    assert (tmp_path / "cheesegrater-python3-tiny_1.0-1~deb12_all.deb").is_file()
    # Nothing is ever written into the installation.
    assert f"archive: {installed.home}/d/debtool/public\n" in run("repo", "init")
    assert "belongs to debtool's installation" in run("lock", "--target", "bookworm", code=2)
    assert "debtool init DIR" in run("lock", "--target", "bookworm", code=2)
    own = tmp_path / "mystack"
    run("init", own, "--target", "bookworm", "--maintainer", "Ada <ada@example.org>")
    assert "mystack" in run("target", "list", folder=own)
    assert snapshot(installed.shipped) == before
    shutil.rmtree(installed.home)
