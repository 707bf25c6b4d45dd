"""PyTorch 2.6.0 of Debian at three levels of AVX, and what debtool's engine costs beside ninja alone.

    sudo python benchmarks/torch_build.py                         all of it, 64 kernels: hours
    sudo python benchmarks/torch_build.py levels --kernels 34     the levels, with the 34 smallest kernels
    sudo python benchmarks/torch_build.py levels --kernels 0      units and configure only: some minutes
    python benchmarks/torch_build.py engine                       the engine only: some minutes

Part *levels*, in a throwaway root of trixie with Debian's build dependencies (needs root and the network). For each
level: how long configure takes; how many units there are, and for how many the compiler is allowed more than Westmere;
then libc10 and kernels of ATen (aten/src/ATen/native/cpu has 64; the smallest sources first), each in all its copies,
are compiled, and the objects are audited. Nothing comes from a compiler cache. The levels are debtool's *free* and
*dispatch-safe*, and *plain*: PyTorch as its own defaults make it, from Debian's untouched source, with only what
selects the CPU and Debian's libraries, and leaves out tests, MPI and what Debian's source does not have.

Part *engine*: the small stand-in for PyTorch that the tests build, with 200 units, compiled by ninja alone and under
debtool's watch, in turn, from nothing each time.

Processor seconds do not depend on what else the machine does; its load (one minute, before and after) says how far the
others do. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from packaging.version import Version  # noqa: E402 -- the checkout first

from debtool.audit.baselines import find_baseline  # noqa: E402
from debtool.audit.rules import load_rules  # noqa: E402
from debtool.audit.static import audit_paths  # noqa: E402
from debtool.build.compile_commands import WESTMERE, beyond, read_commands  # noqa: E402
from debtool.build.drive import drive  # noqa: E402
from debtool.build.journal import Journal, Phase, Reader  # noqa: E402
from debtool.build.root import CLEAN_ENVIRONMENT  # noqa: E402
from debtool.torch.settings import Choice, Level, load_settings  # noqa: E402
from tests.support.torch_root import DEBTOOL, VERSION, build_command, build_folder, torch_root  # noqa: E402
from tests.support.torch_tree import build_environment, make_builder, make_tree  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from debtool.build.compile_commands import Unit
    from debtool.build.root import Root

PLAIN = "plain"
LEVELS = (PLAIN, Level.DISPATCH_SAFE.value, Level.FREE.value)
KERNELS = "/aten/src/ATen/native/cpu/"
FAMILIES = (("AVX512", "AVX-512"), ("AVX2", "AVX2"), ("FMA", "AVX2"), ("AVX", "AVX"), ("F16C", "AVX"))
"""Features by how their names begin, and in which column they are counted; the first that fits."""

# Settings of debtool's that level plain has as well: no other GPU, no tests, and without what Debian's source has not
# (fbgemm, ITT, Kineto; Debian's own rules leave out the first two as well).
ALIKE = (
    *("USE_CUDA", "USE_XPU", "USE_MPI", "BUILD_TEST", "USE_FBGEMM", "USE_ITT", "USE_KINETO"),
    *("PYTORCH_BUILD_VERSION", "PYTORCH_BUILD_NUMBER"),
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds on the wall, and of processors, this process and its children together."""

    wall: float
    cpu: float

    @classmethod
    def by(cls, work: Callable[[], object]) -> Spent:
        """Return what ``work`` takes."""
        began, before = time.monotonic(), _cpu()
        work()
        return cls(time.monotonic() - began, _cpu() - before)

    def __str__(self) -> str:
        return f"{self.wall:.1f} / {self.cpu:.1f}"


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="which parts; all by default")
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument("--kernels", type=int, default=100, help="how many kernels at most")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--pairs", type=int, default=5, help="runs of the engine and of ninja, in turn")
    parser.add_argument("--units", type=int, default=200, help="units of the small build")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/debtool").expanduser())
    options = parser.parse_args()
    if unknown := set(options.parts) - {"levels", "engine"}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are levels and engine")
    load = os.getloadavg()[0]
    if not options.parts or "levels" in options.parts:
        levels(options)
    if not options.parts or "engine" in options.parts:
        engine(options)
    print(f"{options.jobs} jobs; load {load:.1f} before, {os.getloadavg()[0]:.1f} after")


# --- the levels -------------------------------------------------------------------------------------------------------


def levels(options: argparse.Namespace) -> None:
    head = ["level", "configure, s", "units", "of them beyond Westmere", "libc10, s wall / CPU", "kernels: units"]
    head += [
        "s wall / CPU",
        "functions beyond",
        "instructions beyond",
        *sorted({name for _, name in FAMILIES}),
        "other",
    ]
    rows: list[list[object]] = []
    try:
        with torch_root(options.cache) as root:
            for level in sorted(options.levels, key=LEVELS.index, reverse=True):
                rows.append(measured(root, level, options))
                print("; ".join(map(str, rows[-1])), file=sys.stderr, flush=True)
    finally:  # what took an hour is told even if the next level fails
        table(head, rows)


def measured(root: Root, level: str, options: argparse.Namespace) -> list[object]:
    """Configure, compile and audit at one level; return a line of the table."""
    build, configure = configured_plainly(root, options.jobs) if level == PLAIN else configured(root, Level(level))
    units = read_commands(root.path(f"{build}/compile_commands.json"))
    row: list[object] = [level, f"{configure:.1f}", len(units), len(beyond(units, WESTMERE))]
    if not options.kernels:
        return row
    chosen = smallest_kernels(root, units, options.kernels)

    def ninja(*words: str) -> Spent:
        command = ["ninja", "-C", build, "-j", str(options.jobs), *words]
        return Spent.by(lambda: root.run(command, environment={**CLEAN_ENVIRONMENT, "NINJA_STATUS": ""}))

    ninja("-t", "clean")
    row.append(ninja("lib/libc10.so"))
    ninja("cmake_object_order_depends_target_torch_cpu")  # the generated sources: not the kernels' own time
    row += [len(chosen), ninja(*(unit.output for unit in chosen))]
    with tempfile.TemporaryDirectory(dir=options.cache) as scratch:
        objects = Path(scratch, "objects")
        objects.mkdir()
        for unit in chosen:
            shutil.copy(root.path(f"{build}/{unit.output}"), objects)
        shutil.copy(root.path(f"{build}/lib/libc10.so"), objects)
        assert len(list(objects.iterdir())) == len(chosen) + 1
        return row + audited(objects, Path(scratch, "cache"), options.jobs)


def configured(root: Root, level: Level) -> tuple[str, float]:
    """Let debtool begin to build, stop it when it compiles; return the build's folder and configure's seconds."""
    place = build_folder(level)
    with tempfile.TemporaryDirectory() as folder:
        daemon = root.start([*DEBTOOL, *build_command(level)], log=Path(folder, "log"))
        reader, begun = Reader(root.path(f"{place}/journal.jsonl")), dict[str, float]()
        while "compile" not in begun:
            assert daemon.status is None, daemon.log_tail()
            time.sleep(0.2)
            if reader.path.exists():
                begun |= {one.event.name: one.time for one in reader.new() if isinstance(one.event, Phase)}
        daemon.stop(patience=120)
    return f"{place}/source/build", begun["compile"] - begun["configure"]


def configured_plainly(root: Root, jobs: int) -> tuple[str, float]:
    """Configure Debian's source as PyTorch's own defaults are; return the build's folder and the seconds."""
    fetched = build_folder(Level.FREE)
    if not root.path(f"{fetched}/venv").is_dir():
        configured(root, Level.FREE)  # brings the source package, and what setup.py imports
    [description] = root.path(fetched).glob("pytorch-*/*.dsc")
    inside = f"{fetched}/{description.parent.name}/{description.name}"
    root.run(["dpkg-source", "--extract", inside, "/srv/plain"])
    python = f"{fetched}/venv/bin/python"
    command = ["env", "--chdir=/srv/plain", python, "setup.py", "build", "--cmake-only"]
    spent = Spent.by(lambda: root.run(command, environment={**CLEAN_ENVIRONMENT, **plain_variables(jobs)}))
    return "/srv/plain/build", spent.wall


def plain_variables(jobs: int) -> Mapping[str, str]:
    settings = load_settings()
    choice = Choice(Version(f"{VERSION}+cpu"), Level.DISPATCH_SAFE, flavour="debian")
    kept = {one.name for one in settings.setting if {"debian", "cpu-only"}.intersection(one.when)}
    found = {one.name: one.value for one in settings.chosen(choice) if one.name in kept.union(ALIKE)}
    return {**found, "MAX_JOBS": str(jobs)}


def smallest_kernels(root: Root, units: Sequence[Unit], count: int) -> list[Unit]:
    """Return the units of the kernels with the smallest sources, with all copies of each."""
    copies: dict[str, list[Unit]] = {}
    for unit in units:
        if KERNELS in unit.file:
            copies.setdefault(_kernel(unit), []).append(unit)

    def size(name: str) -> tuple[int, str]:
        # Each copy is a file of its own that includes the source: aten/src/ATen/native/cpu/Activation.cpp.
        [source] = {unit.file.partition("/build/")[0] + KERNELS + name + ".cpp" for unit in copies[name]}
        return root.path(source).stat().st_size, name

    return sorted(
        (unit for name in sorted(copies, key=size)[:count] for unit in copies[name]), key=lambda one: one.output
    )


def _kernel(unit: Unit) -> str:
    """Return which source it is a copy of: ``Activation`` of ``Activation.cpp.AVX2.cpp``."""
    return unit.file.rpartition("/")[2].partition(".")[0]


def audited(objects: Path, cache: Path, jobs: int) -> list[object]:
    """Return functions and instructions beyond Westmere, and the instructions by family."""
    [audit] = audit_paths([objects], find_baseline("westmere"), load_rules(), cache=cache, jobs=jobs)
    for file in audit.files:
        if file.note:
            print(f"not audited: {file.path}: {file.note}", file=sys.stderr, flush=True)
    findings = [finding for file in audit.files for finding in file.findings]
    families: Counter[str] = Counter()
    for feature in (feature for finding in findings for feature in finding.features):
        family = next((name for begin, name in FAMILIES if feature.name.startswith(begin)), "other")
        families[family] += feature.count
    columns = [*sorted({name for _, name in FAMILIES}), "other"]
    return [len(findings), sum(finding.count for finding in findings), *(families[name] for name in columns)]


# --- the engine -------------------------------------------------------------------------------------------------------


def engine(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.cache) as scratch:
        folder = Path(scratch)
        tree = make_tree(folder / "tree", units=options.units)
        environment = build_environment(make_builder(folder / "venv", sys.executable))
        setup = [str(folder / "venv/bin/python"), "setup.py", "build", "--cmake-only"]
        subprocess.run(setup, cwd=tree, env=environment, capture_output=True, check=True)
        build = tree / "build"
        command = ["ninja", "-j", str(options.jobs)]
        alone: list[Spent] = []
        watched: list[Spent] = []
        with Journal(folder / "journal.jsonl") as journal:

            def by_ninja() -> None:
                with (folder / "alone.log").open("wb") as log:
                    subprocess.run(command, cwd=build, env=environment, stdout=log, check=True)

            def by_debtool() -> None:
                done = drive(
                    command,
                    cwd=build,
                    environment=environment,
                    folder=folder,
                    log=folder / "watched.log",
                    journal=journal,
                )
                assert done.status == 0, done.lines

            for pair in range(options.pairs):
                turns = [(by_ninja, alone), (by_debtool, watched)]
                for work, times in turns if pair % 2 == 0 else reversed(turns):
                    subprocess.run(["ninja", "-t", "clean"], cwd=build, stdout=subprocess.DEVNULL, check=True)
                    times.append(Spent.by(work))
    rows = [
        [
            name,
            *(
                f"{statistics.median(values):.2f}"
                for values in ([one.wall for one in times], [one.cpu for one in times])
            ),
        ]
        for name, times in (("ninja alone", alone), ("under debtool", watched))
    ]
    pairs = list(zip(watched, alone, strict=True))
    ratios = [[one.wall / other.wall for one, other in pairs], [one.cpu / other.cpu for one, other in pairs]]
    rows.append(["ratio (median of the pairs)", *(f"{statistics.median(values):.3f}" for values in ratios)])
    table([f"{options.units} units, {options.pairs} pairs", "s wall (median)", "s CPU (median)"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table; short rows are filled up."""
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, [*row, *[''] * (len(head) - len(row))]))} |")
    print()


if __name__ == "__main__":
    main()
