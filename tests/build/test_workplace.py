"""A build's folder: one builder at a time, and stamps of what is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from debtool.build.drive import MARKER
from debtool.build.processes import read_process
from debtool.build.workplace import Workplace, digest_of
from debtool.model.errors import InputError


def test_a_step_is_done_from_what_it_followed_from(tmp_path: Path) -> None:
    with Workplace.opened(tmp_path / "place") as place:
        assert not place.has("configure", "one")
        place.mark("configure", "one")
        assert place.has("configure", "one")
        assert not place.has("configure", "two")
    with Workplace.opened(tmp_path / "place") as place:
        assert place.has("configure", "one")
        place.forget("configure")
        place.forget("configure")
        assert not place.has("configure", "one")


def test_a_fresh_folder_is_empty(tmp_path: Path) -> None:
    with Workplace.opened(tmp_path) as place:
        (place.fresh("dist") / "old").write_text("old")
        assert list(place.fresh("dist").iterdir()) == []


def test_a_second_builder_is_refused_and_told_how_to_look(tmp_path: Path) -> None:
    with Workplace.opened(tmp_path):
        with pytest.raises(InputError, match="is being built by another process") as caught, Workplace.opened(tmp_path):
            pass
        assert "debtool torch watch" in caught.value.issues[0].fix
    with Workplace.opened(tmp_path):
        pass


def test_a_folder_with_stamps_that_nobody_holds_is_left(tmp_path: Path) -> None:
    with Workplace.opened(tmp_path) as place:
        assert not Workplace.is_left(tmp_path)
        place.mark("source", "one")
        assert not Workplace.is_left(tmp_path)
    assert Workplace.is_left(tmp_path)
    # Asking does not keep it.
    with Workplace.opened(tmp_path):
        assert not Workplace.is_left(tmp_path)


def test_a_folder_without_stamps_may_be_no_workplace(tmp_path: Path) -> None:
    assert not Workplace.is_left(tmp_path)


def test_one_that_waits_comes_after_the_other(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from debtool.build.workplace import Workplace\n"
        "with Workplace.opened(Path(sys.argv[1])) as place:\n"
        "    print('held', flush=True); time.sleep(0.5); place.mark('first', 'done')\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with Workplace.opened(tmp_path, wait=True) as place:
            assert place.has("first", "done")


def test_what_a_killed_build_left_running_is_ended_first(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"], env={MARKER: str(tmp_path), "PATH": "/usr/bin:/bin"}) as left:
        with Workplace.opened(tmp_path):
            assert read_process(left.pid) is None
        assert left.wait(5) != 0


def test_digests_are_of_values_and_their_order() -> None:
    assert digest_of("a", {"x": 1, "y": 2}) == digest_of("a", {"y": 2, "x": 1})
    assert len({digest_of("a", "b"), digest_of("ab"), digest_of(["a", "b"]), digest_of("b", "a")}) == 4
