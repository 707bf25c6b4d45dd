"""git as it is run here: with the user's own configuration, as that says how servers are reached, and never asking."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Protocol

from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# The user's configuration counts, for proxies and mirrors; not for what is in the files. Submodules inherit this.
GIT = ["git", "-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null"]
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]*")


class Run(Protocol):
    """Runs a command that may take long, with its output where people look for it."""

    def __call__(
        self, command: Sequence[str], fix: str, *, cwd: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Run ``command``; None for ``environment`` means this process's own.

        Raises ``OutsideError`` with its last lines and ``fix`` if it fails.
        """


def is_commit(ref: str) -> bool:
    """Return whether ``ref`` is a whole commit hash, and no tag.

    >>> is_commit("e2d141dbde55c2a4370fac5165b0561b6af4798b"), is_commit("v2.7.1")
    (True, False)
    """
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", ref) is not None


def is_ref(ref: str) -> bool:
    """Return whether ``ref`` can name a tag or a commit (git-check-ref-format(1), without its rarer characters)."""
    return _REF.fullmatch(ref) is not None and ".." not in ref and not ref.endswith(("/", ".", ".lock"))


def attempt(command: list[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; raises ``OutsideError`` if it is not installed, and never for what it says."""
    try:
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        raise OutsideError(Issue(f"{command[0]} is not installed", fix="apt install gnupg git")) from None


def ask(tree: Path, *arguments: str, fix: str = "mend what git names, then run the same command again") -> str:
    """Return what a git command in ``tree`` prints; raises ``OutsideError`` with what it says if it fails."""
    done = attempt([*GIT, *arguments], tree, git_environment())
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise OutsideError(Issue(f"git: {said[0] if said else f'ended with {done.returncode}'}", file=tree, fix=fix))
    return done.stdout


def git_environment() -> dict[str, str]:
    """Return this process's own variables (proxies, the user's git configuration), with git told to ask nothing."""
    return {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}


def ways_out(repository: str) -> str:
    """Return what a user can do where a repository, or one that its submodules name, cannot be reached."""
    base = repository[: repository.rfind("/", 0, -1) + 1] or repository
    return (
        "check the network and run the same command again: it goes on with what is there; or give a source that is "
        f"here: --source DIR; or name a mirror: git config --global url.MIRROR.insteadOf {base}"
    )
