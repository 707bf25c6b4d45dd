"""A stand-in for PyTorch's source, small enough to clone, patch and rewrite in every test; and git repositories."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

# Writes where the real one does, and like it is not without effect when it runs again.
BUILD_AMD = """\
import pathlib
import sys
sys.dont_write_bytecode or sys.exit("writes bytecode into the tree")
module = pathlib.Path("torch/csrc/cuda/Module.cpp")
module.write_text(module.read_text().replace("cuda/", "hip/cuda/"))
for name in ("c10/hip/impl/hip_cmake_macros.h.in", "aten/src/ATen/hip/HIPConfig.h.in"):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text("hip\\n")
"""
GENERATE_VERSION = """\
def get_torch_version():
    version = "2.6.0"
    return version
"""
FILES = {
    "version.txt": "2.6.0a0\n",
    "setup.py": "# setup\n",
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.18)\nproject(Torch CXX C)\n",
    "torch/csrc/cuda/Module.cpp": '#include "cuda/driver_types.h"\n',
    "tools/amd_build/build_amd.py": BUILD_AMD,
    "tools/generate_torch_version.py": GENERATE_VERSION,
    "aten/src/ATen/hip/impl/a.h": "",
    "c10/hip/CMakeLists.txt": "",
    ".gitignore": "build/\nc10/hip/impl/\n",
}
CHANGE = """\
--- a/tools/generate_torch_version.py
+++ b/tools/generate_torch_version.py
@@ -1,3 +1,3 @@
 def get_torch_version():
-    version = "2.6.0"
+    version = "2.6.0+ours"
     return version
"""
# Needs what CHANGE does.
CHANGE_AGAIN = CHANGE.replace('+    version = "2.6.0+ours"', '+    version = "2.6.0+again"').replace(
    '-    version = "2.6.0"', '-    version = "2.6.0+ours"'
)


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    """Write ``files`` by path below ``folder`` and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def make_series(folder: Path, **patches: str) -> Path:
    """Write a quilt series of ``patches`` in their order."""
    names = "".join(f"{name}.patch\n" for name in patches)
    return write_files(folder, {"series": names, **{f"{name}.patch": text for name, text in patches.items()}})


def git(folder: Path, *arguments: str) -> str:
    """Run git in ``folder`` and return what it prints."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, message: str = "change") -> str:
    """Commit everything in ``folder``, which becomes a repository if it is none, and return the commit."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def configure_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let git read this test's own configuration alone, which allows submodules of local repositories; return it."""
    config = write_files(folder, {"gitconfig": ""}) / "gitconfig"
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    settings = {"user.name": "a", "user.email": "a@example.org", "init.defaultBranch": "main"}
    for key, value in {**settings, "protocol.file.allow": "always", "advice.detachedHead": "false"}.items():
        git(folder, "config", "--global", key, value)
    return config


def make_upstream(folder: Path, tag: str = "v2.6.0") -> str:
    """Make ``pytorch``, with a submodule and one in that, below ``folder``; return the address of its repository.

    The submodule's path is not its name, and its own branch has gone on since: as in PyTorch.
    """
    inner = write_files(folder / "inner", {"CMakeLists.txt": "inner"})
    commit(inner)
    outer = write_files(folder / "outer", {"CMakeLists.txt": "outer", "LICENSE": ""})
    commit(outer)
    git(outer, "submodule", "--quiet", "add", inner.as_uri(), "third_party/inner")
    commit(outer)
    main = write_files(folder / "pytorch", FILES)
    commit(main)
    git(main, "submodule", "--quiet", "add", "--name", "third_party/deps/outer", outer.as_uri(), "third_party/outer")
    commit(main)
    git(main, "tag", tag)
    for repository in (inner, outer, main):
        write_files(repository, {"CMakeLists.txt": "newer"})
        commit(repository)
    return main.as_uri()


class Runner:
    """Runs commands and remembers them; raises `Killed` before the command number ``kill_at``."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.commands: list[list[str]] = []
        self.kill_at = kill_at

    def __call__(
        self, command: Sequence[str], fix: str, *, cwd: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        if self.kill_at is not None and len(self.commands) == self.kill_at:
            raise Killed
        self.commands.append([*command])
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = " | ".join((done.stdout + done.stderr).splitlines()[-15:])
            raise OutsideError(Issue(f"{command[0]} ended with {done.returncode}: {said}", fix=fix))

    def words(self) -> list[str]:
        """Return what was done: git's subcommands, else the program."""
        known = {"fetch", "checkout", "submodule", "reset", "clean"}
        return [next((word for word in command if word in known), command[0]) for command in self.commands]


class Killed(BaseException):
    """Stands for the end of the process."""
