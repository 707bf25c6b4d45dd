"""kill -9 at any moment: what apt sees is whole, and the next publication needs no repair."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.archive import Archive

if TYPE_CHECKING:
    from tests.archive.conftest import Apt, MakeDeb

pytestmark = pytest.mark.slow


SUITE = "suite"
PROGRAM = Path(__file__).with_name("publish_and_die.py")
KILLS = 20


def start(mode: str, archive: Archive, debs: list[Path]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, PROGRAM, mode, archive.public, SUITE, *debs],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def leftovers(archive: Archive) -> list[Path]:
    return [*archive._layout.incoming.iterdir(), *archive._layout.gnupg.glob("S.*")]


def test_killed_at_every_step(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("bar")])
    debs = [make_deb("foo", f"{number}-1") for number in range(3)]
    with start("steps", archive, debs) as process:
        said = process.communicate()[0]
    assert process.returncode == 0
    assert int(said) > 40
    archive.publish(SUITE, [make_deb("baz")])
    assert archive.check(SUITE) == ()
    assert leftovers(archive) == []


def test_killed_at_random_moments(archive: Archive, make_deb: MakeDeb, apt: Apt) -> None:
    debs = [make_deb("foo", f"{number}-1") for number in range(3)]
    archive.publish(SUITE, [*debs[:1], make_deb("bar")])
    apt.add_source(archive.sources_stanza(SUITE, url=archive.public.as_uri()))
    moments = random.Random(20)  # noqa: S311 -- not a secret
    for kill in range(KILLS):
        with start("loop", archive, debs) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, 0.15))
            process.kill()
        fresh = Archive.open(archive.public, timeout=5)
        assert fresh.check(SUITE) == ()
        apt.update()
        current = {package.name: package.version for package in fresh.published(SUITE)}
        assert apt.candidate("foo") == current["foo"]
        assert apt.candidate("bar") == "1.0-1"
        done = fresh.publish(SUITE, [make_deb("baz", f"{kill}-1")])
        assert [package.name for package in done.added] == ["baz"]
    assert archive.check(SUITE) == ()
    assert leftovers(archive) == []
    numbers = [int(path.name) for path in archive._layout.generations(SUITE).iterdir()]
    assert sorted(numbers, reverse=True) == [one.number for one in archive.history(SUITE)]
