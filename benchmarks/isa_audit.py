"""The static audit: one large library against objdump and grep, and every wheel of a lock, cold and warm.

    python benchmarks/isa_audit.py --wheel torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl
    python benchmarks/isa_audit.py --lock noble

Without a wheel, the index's torch is downloaded. The library is the wheel's largest file. Both it and objdump's output
are read once before, so that neither waits for the disk. The peak of memory is the audit's own process, its largest
worker, and no more than the sum with every worker as large as that one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from debtool.audit.baselines import find_baseline  # noqa: E402 -- the checkout first
from debtool.audit.rules import load_rules  # noqa: E402
from debtool.audit.static import audit_paths  # noqa: E402
from debtool.stack.project import open_project  # noqa: E402
from debtool.stack.wheels import read_lock  # noqa: E402
from debtool.wheel.archive import Archive  # noqa: E402
from debtool.wheel.fetch import FileCache, fetch  # noqa: E402

SHA256 = 64
"""Digits of a hash."""

BEYOND = r"[yz]mm|\bv[a-z]+[0-9a-z]* .*%xmm|\blzcnt|\b(andn|bextr|bls[irm]|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx) "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="a wheel of torch")
    parser.add_argument("--lock", metavar="TARGET", help="audit every wheel of the lock for it instead")
    parser.add_argument("--stack", default="cheesegrater")
    parser.add_argument("--cpu", default="westmere")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/debtool").expanduser())
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = of_lock(options, folder) if options.lock else of_library(options, Path(folder))
    print(json.dumps(found, indent=2))


def of_library(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    wheel = options.wheel
    if wheel is None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "torch"]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("*.whl")
    with Archive(wheel) as archive:
        largest = max(archive, key=lambda member: member.size)
        library = folder / Path(largest.name).name
        with library.open("wb") as stream:
            shutil.copyfileobj(archive.open(largest), stream)
    library.read_bytes()
    cold, warm = (measured(options, folder / "cache", [library]) for _ in range(2))
    began = time.monotonic()
    objdump = subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", library], stdout=subprocess.PIPE)
    grep = subprocess.run(["grep", "-cE", BEYOND], stdin=objdump.stdout, capture_output=True, text=True, check=True)
    objdump.wait()
    seconds = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = cold["cpu_seconds"] + warm["cpu_seconds"]
    return {
        "wheel": wheel.name,
        "library": largest.name,
        "bytes": largest.size,
        "cold": cold,
        "warm": warm,
        "objdump_grep_s": round(seconds, 1),
        "objdump_grep_cpu_s": round(usage.ru_utime + usage.ru_stime - ours, 1),
        "objdump_grep_lines": int(grep.stdout),
        "times_faster": round(seconds / cold["seconds"], 1),
    }


def of_lock(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    project = open_project(REPO / f"repo/{options.stack}.toml")
    target = project.target(options.lock)
    lock = read_lock(project, target)
    index = replace(lock, files=tuple(entry for entry in lock.files if entry.is_wheel), artefacts=())
    wheels = list(fetch(index, target, FileCache.below(options.cache)).values())
    cold, warm = (measured(options, Path(folder), wheels) for _ in range(2))
    return {"lock": options.lock, "wheels": len(wheels), "cold": cold, "warm": warm}


def measured(options: argparse.Namespace, cache: Path, paths: list[Path]) -> dict[str, Any]:
    """Audit ``paths`` in a process of its own."""
    command = [sys.executable, __file__, "--cpu", options.cpu, "--jobs", str(options.jobs), "--cache", str(cache)]
    done = subprocess.run([*command, "--run", *map(str, paths)], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run(options: argparse.Namespace) -> None:
    paths = [Path(path) for path in options.run]
    # A lock's files lie below their hashes.
    hashes = {path: path.parent.name for path in paths if len(path.parent.name) == SHA256}
    began = time.monotonic()
    rules, baseline = load_rules(), find_baseline(options.cpu)
    audits = audit_paths(paths, baseline, rules, cache=options.cache, jobs=options.jobs, hashes=hashes)
    seconds = time.monotonic() - began
    files = [file for audit in audits for file in audit.files]
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, worker = (usage.ru_maxrss / 1024 for usage in usages)
    kinds: Counter[str] = Counter()
    for file in files:
        kinds.update({kind.value: count for kind, count in file.kinds.items()})
    found = {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(sum(usage.ru_utime + usage.ru_stime for usage in usages), 2),
        "files": len(files),
        "compiled_packages": sum(bool(audit.files) for audit in audits),
        "levels": dict(Counter(audit.level.value for audit in audits if audit.files)),
        "code_bytes": sum(file.code for file in files),
        "instructions": sum(file.instructions for file in files),
        "beyond": sum(finding.count for file in files for finding in file.findings),
        "findings": dict(kinds),
        "peak_mib": {"own": round(own), "largest_worker": round(worker), "at_most": round(own + options.jobs * worker)},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
