"""Debian's own PyTorch, configured by debtool for level free, and its first library compiled."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pytest
from packaging.version import Version

from debtool.audit.baselines import find_baseline
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths
from debtool.build.cmake import is_true, read_cache, summary_values, unused_variables
from debtool.build.compile_commands import WESTMERE, beyond, read_commands
from debtool.build.journal import Edge, End, Note, Phase, Reader
from debtool.torch.settings import Choice, Level, held, load_settings
from tests.support.torch_root import DEBTOOL, VERSION, build_command, build_folder, torch_root

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.build.cmake import CacheEntry
    from debtool.build.journal import Event
    from debtool.build.root import Daemon

pytestmark = [pytest.mark.root, pytest.mark.slow]

_EventT = TypeVar("_EventT")

LIBRARY = "lib/libc10.so"
LIMIT = 1200.0
"""Seconds until something is wrong, however busy the machine is."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A build that was stopped when its first library was linked; all of it is copied out of the root.

    Attributes:
        folder: ``CMakeCache.txt``, ``compile_commands.json``, ``configure.log`` and the library.
        events: Its journal.
    """

    folder: Path
    events: tuple[Event, ...]

    @property
    def log(self) -> str:
        """What configure said."""
        return (self.folder / "configure.log").read_text(errors="replace")

    @property
    def cache(self) -> dict[str, CacheEntry]:
        return read_cache(self.folder / "CMakeCache.txt")

    def of(self, kind: type[_EventT]) -> list[_EventT]:
        """The journal's events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def begun(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    folder = tmp_path_factory.mktemp("torch")
    with torch_root(cache) as root:
        daemon = root.start([*DEBTOOL, *build_command(Level.FREE)], log=folder / "debtool.log")
        place = root.path(build_folder(Level.FREE))
        wait_for_library(daemon, place)
        daemon.stop(patience=120)
        build = place / "source/build"
        for file in (
            place / "configure.log",
            build / "CMakeCache.txt",
            build / "compile_commands.json",
            build / LIBRARY,
        ):
            shutil.copyfile(file, folder / file.name)
        return Begun(folder, tuple(entry.event for entry in Reader(place / "journal.jsonl").new()))


def wait_for_library(daemon: Daemon, place: Path) -> None:
    """Return when the journal says that the library is linked."""
    deadline = time.monotonic() + LIMIT
    reader = Reader(place / "journal.jsonl")
    while daemon.status is None and time.monotonic() < deadline:
        if reader.path.exists():
            for entry in reader.new():
                if isinstance(entry.event, Edge) and entry.event.what.startswith(
                    f"Linking CXX shared library {LIBRARY}"
                ):
                    return
        time.sleep(0.5)
    raise AssertionError(daemon.log_tail())


def test_it_was_stopped_while_it_compiled(begun: Begun) -> None:
    assert [phase.name for phase in begun.of(Phase)] == ["preflight", "source", "environment", "configure", "compile"]
    assert [end.status for end in begun.of(End)] == ["interrupted"]
    [source] = [note.text for note in begun.of(Note) if note.text.startswith("source: ")]
    assert f"pytorch_{VERSION}" in source
    assert "by the signature of its archive (apt)" in source


def test_every_setting_holds(begun: Begun) -> None:
    choice = Choice(Version(f"{VERSION}+cpu.noavx"), flavour="debian")
    chosen = load_settings().chosen(choice)
    summary = summary_values(begun.log)
    assert held(chosen, begun.cache, unused_variables(begun.log), summary) == []
    # The same without the table, for what matters most.
    asked = {name: begun.cache[name].value for name in ("CXX_AVX_FOUND", "CXX_AVX2_FOUND", "CXX_AVX512_FOUND")}
    assert set(asked.values()) == {"FALSE"}
    for name in ("CMAKE_C_FLAGS", "CMAKE_CXX_FLAGS"):
        assert "-march=westmere" in begun.cache[name].value.split()
    for name in ("USE_FBGEMM", "USE_NNPACK", "USE_XNNPACK", "USE_CUDA", "USE_ROCM", "USE_XPU"):
        assert not is_true(summary[name]), name
    for name in ("USE_MKLDNN", "USE_PYTORCH_QNNPACK"):
        assert is_true(summary[name]), name


def test_no_unit_is_compiled_for_more_than_westmere(begun: Begun) -> None:
    units = read_commands(begun.folder / "compile_commands.json")
    assert len(units) > 1000
    assert beyond(units, WESTMERE) == []
    for unit in units:
        assert not [word for word in unit.arguments if word.startswith("-m") and ("avx" in word or "native" in word)]
    # Each kernel is compiled once, and not three times.
    copies = [unit.file for unit in units if "/native/cpu/" in unit.file]
    assert copies
    assert all(file.endswith(".DEFAULT.cpp") for file in copies)
    assert f"none of {len(units):,} units is compiled with flags beyond" in "\n".join(
        note.text for note in begun.of(Note)
    )


def test_the_first_library_is_free(begun: Begun, tmp_path: Path) -> None:
    library = begun.folder / "libc10.so"
    jobs = os.cpu_count() or 1
    [audit] = audit_paths([library], find_baseline("westmere"), load_rules(), cache=tmp_path, jobs=jobs)
    [file] = audit.files
    assert (file.note, file.findings) == ("", ())
    assert file.functions > 1000
    assert audit.level.value == "free"
