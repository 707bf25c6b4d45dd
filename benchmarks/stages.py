"""Seconds and peak memory of every stage of a release: fetch, build, publish, a second release, the proof.

    python benchmarks/stages.py --stack demo --target bookworm [--source torch=WHEEL …] [--cold] [--prove]

Every stage is a run of the program itself, measured from outside by the kernel's own accounting: wall seconds, user and
system seconds of it and its children, and the peak resident memory of the largest of those processes. ``--cold`` begins
with an empty cache; without it, downloads and compiled companions are taken from ``--cache``. The archive and the store
of built packages, are always new.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PROGRAM = [sys.executable, "-m", "debtool.cli.main"]
REPO = Path(__file__).resolve().parent.parent / "repo"


@dataclass(frozen=True)
class Stage:
    """One run: seconds, and MB of peak resident memory."""

    name: str
    wall: float
    user: float
    system: float
    peak_mb: float
    says: str


def measure(name: str, command: list[str]) -> Stage:
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        output.seek(0)
        lines = output.read().decode().strip().splitlines()
    if process.returncode:
        sys.exit("\n".join(lines))
    return Stage(name, wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1000, lines[-1] if lines else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="demo")
    parser.add_argument("--target", default="bookworm")
    parser.add_argument("--source", action="append", default=[])
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/debtool").expanduser())
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--prove", action="store_true", help="needs root")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="debtool-bench-") as scratch:
        cache = Path(scratch, "cache")
        cache.mkdir()
        for kept in () if options.cold else ("files", "built", "trees", "patched", "roots"):
            (options.cache / kept).mkdir(parents=True, exist_ok=True)
            (cache / kept).symlink_to(options.cache / kept)
        program = [*PROGRAM, "--config", str(REPO / f"{options.stack}.toml"), "--cache", str(cache)]
        archive = ["--target", options.target, "--archive", str(Path(scratch, "archive"))]
        sources = [part for source in options.source for part in ("--source", source)]
        stages = [
            measure("fetch, compile, plan", [*program, "plan", *archive, *sources]),
            measure("build", [*program, "build", *archive, *sources]),
            measure("publish", [*program, "release", *archive, *sources]),
            measure("second release", [*program, "release", *archive, *sources]),
        ]
        if options.prove:
            stages.append(measure("prove", [*program, "prove", *archive]))
    print(f"{'stage':22} {'wall s':>8} {'user s':>8} {'sys s':>8} {'peak MB':>8}")
    for stage in stages:
        print(f"{stage.name:22} {stage.wall:8.2f} {stage.user:8.2f} {stage.system:8.2f} {stage.peak_mb:8.0f}")
    print(stages[2].says)
    print(stages[3].says)
    if options.json:
        options.json.write_text(json.dumps([asdict(stage) for stage in stages], indent=1) + "\n")


if __name__ == "__main__":
    main()
