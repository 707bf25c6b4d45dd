"""The emulated gate: one wheel, or every compiled wheel of a lock, tried anew and again with kept verdicts.

    python benchmarks/gate.py --wheel torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl --with wheelhouse/
    python benchmarks/gate.py --lock bookworm --source torch=torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl

Cold unpacks, compiles bytecode, runs natively and emulated, and compares; nothing is kept from before but downloaded
wheels. Each wheel's own seconds are those of its two runs, unpacking left out. Processor seconds do not depend on what
else the machine does; its load (one minute, before and after) says how far the others do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from debtool.audit.baselines import find_baseline  # noqa: E402 -- the checkout first
from debtool.audit.gate_run import Limits, run_wheels  # noqa: E402
from debtool.elf.needs import elf_files  # noqa: E402
from debtool.stack.project import open_project  # noqa: E402
from debtool.stack.wheels import read_lock  # noqa: E402
from debtool.wheel.fetch import FileCache, fetch  # noqa: E402
from debtool.wheel.source import open_wheel  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, nargs="+", default=[])
    parser.add_argument("--with", type=Path, dest="house", help="a folder of wheels that they may need")
    parser.add_argument("--lock", metavar="TARGET", help="try every compiled wheel of the lock for it instead")
    parser.add_argument("--source", action="append", default=[], metavar="NAME=PLACE")
    parser.add_argument("--stack", default="cheesegrater")
    parser.add_argument("--cpu", default="westmere")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/debtool").expanduser())
    options = parser.parse_args()
    wheels, offered, python = of_lock(options) if options.lock else (options.wheel, [], None)
    offered += sorted(options.house.glob("*.whl")) if options.house else []
    with tempfile.TemporaryDirectory(dir=options.cache) as folder:
        runs = [measured(options, Path(folder), wheels, offered, python) for _ in ("cold", "warm")]
    print(json.dumps(dict(zip(("cold", "warm"), runs, strict=True)), indent=2))


def of_lock(options: argparse.Namespace) -> tuple[list[Path], list[Path], str]:
    project = open_project(REPO / "repo" / f"{options.stack}.toml")
    target = project.target(options.lock)
    sources = dict(pair.split("=", 1) for pair in options.source)
    found = fetch(read_lock(project, target), target, FileCache.below(options.cache), sources=sources)
    wheels = sorted(path for path in found.values() if path.suffix == ".whl")
    return [wheel for wheel in wheels if is_compiled(wheel)], wheels, target.python


def is_compiled(path: Path) -> bool:
    with open_wheel(path) as wheel:
        return bool(elf_files(wheel.sizes, wheel.open))


def measured(
    options: argparse.Namespace, cache: Path, wheels: Sequence[Path], offered: Sequence[Path], python: str | None
) -> dict[str, Any]:
    load, used = os.getloadavg()[0], cpu_seconds()
    began = time.monotonic()
    verdicts = run_wheels(
        wheels,
        find_baseline(options.cpu),
        offered=offered,
        python=python,
        cache=cache,
        limits=Limits(jobs=options.jobs),
    )
    return {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(cpu_seconds() - used, 1),
        "jobs": options.jobs,
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "modules": sum(verdict.modules for verdict in verdicts),
        "outcomes": Counter(result.outcome for verdict in verdicts for result in verdict.results),
        "packages": {
            verdict.subject.split("-")[0]: {
                "seconds": verdict.seconds,
                "modules": verdict.modules,
                "absent": len(verdict.absent),
                "findings": [f"{one.name}: {one.outcome}: {one.detail}" for one in verdict.findings],
            }
            for verdict in verdicts
        },
    }


def cpu_seconds() -> float:
    """Return the processor's time that this process and those that it waited for have used."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
