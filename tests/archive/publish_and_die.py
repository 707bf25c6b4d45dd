"""Publishes until it is killed; started by test_killed.py.

usage: publish_and_die.py loop ARCHIVE SUITE DEB…    publish the debs in turn, for ever; says "ready" before the first
       publish_and_die.py steps ARCHIVE SUITE DEB…   die at each step of a publication in turn, and look at the result
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from debtool.archive import Archive

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
STEPS = {
    *("os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.utime", "os.truncate"),
    *("open", "sqlite3.connect", "sqlite3.connect/handle", "subprocess.Popen", "shutil.rmtree", "tempfile.mkdtemp"),
}


def loop(archive: Archive, suite: str, debs: list[Path]) -> None:
    print("ready", flush=True)  # noqa: T201 -- the parent waits for it
    for deb in itertools.cycle(debs):
        archive.publish(suite, [deb], date=LONG_AGO)


def steps(archive: Archive, suite: str, debs: list[Path]) -> None:
    turns = itertools.cycle(debs)
    for step in itertools.count(1):
        before = archive.published(suite)
        deb = next(turns)
        child = os.fork()
        if child == 0:
            die_at(step)
            archive.publish(suite, [deb], date=LONG_AGO)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        fresh = Archive.open(archive.public, timeout=0)
        if issues := fresh.check(suite):
            sys.exit(f"killed at step {step}: {issues}")
        after = fresh.published(suite)
        if status == 0:
            print(step, flush=True)  # noqa: T201 -- the result
            return
        if after != before and deb.name not in {Path(package.filename).name for package in after}:
            sys.exit(f"killed at step {step}: neither the state before nor the state after")


def die_at(step: int) -> None:
    """Kill this process at its ``step``-th look at, or change of, anything outside it."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        del arguments
        if event in STEPS:
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if __name__ == "__main__":
    mode, directory, suite_name, *files = sys.argv[1:]
    {"loop": loop, "steps": steps}[mode](Archive.open(Path(directory)), suite_name, [Path(file) for file in files])
