"""How fast a wheel becomes a package: against unzip and dpkg-deb, and against wheel2deb.

    python benchmarks/wheel_to_deb.py [--wheel torch….whl] [--runs 5] [--bytecode] [--json out.json]
    python benchmarks/wheel_to_deb.py --wheel2deb VENV/bin/wheel2deb --wheel a.whl --wheel b.whl --wheel c.whl

Contenders take turns within each round, every one in a process of its own, with its output on the same file system and
everything written before synced. Reported are medians: wall and CPU seconds (children included), peak resident memory
of the largest process, size of the package. Without --wheel, the torch wheel that pip finds is used.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.deb.control import Control
from debtool.deb.writer import write_deb
from debtool.wheel.bytecode import BytecodeCompiler, find_interpreter
from debtool.wheel.payload import Layout, WheelPayload
from debtool.wheel.source import open_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LAYOUT = Layout.venv("/usr/lib/bench/venv", PYTHON)
DATE = 1_700_000_000
FIELDS = {
    "Package": "bench",
    "Version": "1",
    "Architecture": "amd64",
    "Maintainer": "Bench <bench@example.org>",
    "Description": "benchmark of packing\n It is not installed.",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: seconds, MiB and bytes."""

    wall: float
    cpu: float
    rss: float
    size: int


def main() -> None:
    options = _options()
    if options.one:
        _convert(Path(options.one), Path(options.out), bytecode=options.bytecode)
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch)
        wheels = [Path(wheel).resolve() for wheel in options.wheel] or [_download(folder)]
        report = {}
        for wheel in wheels:
            if options.wheel2deb:
                other, command = "wheel2deb", _wheel2deb(Path(options.wheel2deb).resolve())
            else:
                other, command = "unzip+dpkg-deb", _unzip_and_dpkg(options.bytecode)
            contenders = {"debtool": _debtool(options.bytecode), other: command}
            runs = _measure(contenders, wheel, folder, options.runs)
            report[wheel.name] = _report(wheel, runs, other)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheel", action="append", default=[], help="a wheel file; may be given several times")
    parser.add_argument("--runs", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--bytecode", action="store_true", help="with bytecode, against unzip + compileall + dpkg-deb")
    parser.add_argument("--wheel2deb", metavar="PROGRAM", help="compare with this wheel2deb instead")
    parser.add_argument("--scratch", help="where to work (default: the system's temporary folder)")
    parser.add_argument("--json", metavar="FILE", help="write the figures of every run there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args()


def _download(folder: Path) -> Path:
    """Return the torch wheel that pip's own configuration offers."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "torch"]
    subprocess.run([*command, "--dest", folder / "wheels"], check=True)
    return next((folder / "wheels").glob("torch-*.whl"))


def _convert(wheel: Path, out: Path, *, bytecode: bool) -> None:
    """Make one package in this process."""
    compiler = BytecodeCompiler(find_interpreter(PYTHON)) if bytecode else None
    with open_wheel(wheel) as opened:
        payload = WheelPayload(opened, LAYOUT, mtime=DATE, compiler=compiler)
        write_deb(out, payload, lambda _: Control(FIELDS), date=DATE, compression="zstd", level=3)
    if compiler is not None:
        compiler.__exit__(None, None, None)


def _debtool(bytecode: bool) -> Callable[[Path, Path], list[Sequence[str | Path]]]:  # noqa: FBT001
    def commands(wheel: Path, work: Path) -> list[Sequence[str | Path]]:
        extra = ["--bytecode"] if bytecode else []
        return [[sys.executable, __file__, "--one", wheel, "--out", work / "out.deb", *extra]]

    return commands


def _unzip_and_dpkg(bytecode: bool) -> Callable[[Path, Path], list[Sequence[str | Path]]]:  # noqa: FBT001
    def commands(wheel: Path, work: Path) -> list[Sequence[str | Path]]:
        tree = work / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        text = "".join(f"{key}: {value}\n" for key, value in FIELDS.items())
        (tree / "DEBIAN/control").write_text(text)
        site = tree / LAYOUT.site_packages[1:]
        site.mkdir(parents=True)
        compiling: list[Sequence[str | Path]] = [[sys.executable, "-m", "compileall", "-q", "-j", "0", site]]
        return [
            ["unzip", "-q", wheel, "-d", site],
            *(compiling if bytecode else []),
            ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z3", "--build", tree, work / "out.deb"],
        ]

    return commands


def _wheel2deb(program: Path) -> Callable[[Path, Path], list[Sequence[str | Path]]]:
    def commands(wheel: Path, work: Path) -> list[Sequence[str | Path]]:
        (work / "in").mkdir()
        shutil.copy(wheel, work / "in")
        return [[program, "default", "--search-path", work / "in", "--output-dir", work / "output"]]

    return commands


def _measure(
    contenders: dict[str, Callable[[Path, Path], list[Sequence[str | Path]]]], wheel: Path, folder: Path, rounds: int
) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    # Every contender finds the wheel in the page cache. Read in pieces: what this process holds when it starts another
    # counts as that one's peak memory.
    with wheel.open("rb") as stream:
        while stream.read(2**20):
            pass
    for number in range(rounds):
        for name in list(contenders) if number % 2 == 0 else list(contenders)[::-1]:
            work = folder / "work"
            work.mkdir()
            commands = contenders[name](wheel, work)
            os.sync()
            runs[name].append(_run(commands, work))
            shutil.rmtree(work)
    return runs


def _run(commands: list[Sequence[str | Path]], work: Path) -> Run:
    cpu = rss = 0.0
    start = time.perf_counter()
    with (work / "log").open("wb") as log:
        for command in commands:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=work)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu += usage.ru_utime + usage.ru_stime
            rss = max(rss, usage.ru_maxrss / 1024)
            # compileall exits 1 for sources of other Pythons, which wheels may carry.
            if process.returncode and "compileall" not in command:
                sys.exit(f"{command[0]} failed ({process.returncode}):\n{(work / 'log').read_text()}")
    wall = time.perf_counter() - start
    return Run(wall, cpu, rss, max(path.stat().st_size for path in work.rglob("*.deb")))


def _report(wheel: Path, runs: dict[str, list[Run]], other: str) -> dict[str, object]:
    medians = {
        name: {key: statistics.median(asdict(run)[key] for run in found) for key in ("wall", "cpu", "rss", "size")}
        for name, found in runs.items()
    }
    ratio = {key: medians["debtool"][key] / medians[other][key] for key in ("wall", "cpu", "rss", "size")}
    print(f"{wheel.name}: medians of {len(runs['debtool'])} rounds")
    print(f"{'':16} {'wall s':>9} {'cpu s':>9} {'peak MiB':>9} {'bytes':>12}")
    for name, values in {**medians, "ratio": ratio}.items():
        size = f"{values['size']:12.3f}" if name == "ratio" else f"{values['size']:12.0f}"
        print(f"{name:16} {values['wall']:9.2f} {values['cpu']:9.2f} {values['rss']:9.2f} {size}")
    return {"runs": {name: [asdict(run) for run in found] for name, found in runs.items()}, "ratio": ratio}


if __name__ == "__main__":
    main()
