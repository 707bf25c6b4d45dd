"""Whether what is installed in a root can be imported there, and whether its libraries can be loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.build.root import Root

# Runs in the root: imports every top-level module in a process of its own, and prints what failed and how.
_IMPORT_EVERYTHING = """
import concurrent.futures, importlib.metadata, json, os, subprocess, sys

def attempt(module):
    done = subprocess.run([sys.executable, "-I", "-B", "-c", f"import {module}"], capture_output=True, text=True)
    return module, done.returncode, done.stderr.strip()[-500:]

owners = importlib.metadata.packages_distributions()
modules = sorted(name for name in owners if name.isidentifier())
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    results = list(pool.map(attempt, modules))
failed = {module: error for module, status, error in results if status}
distributions = sorted({owner for module in modules for owner in owners[module]})
print(json.dumps({"tried": modules, "failed": failed, "distributions": distributions}))
"""


@dataclass(frozen=True)
class Imports:
    """What came of importing.

    Attributes:
        tried: The top-level modules of every installed distribution.
        failed: The end of what was printed, by the module that could not be imported.
        distributions: The distributions that the modules are of.
    """

    tried: list[str]
    failed: Mapping[str, str]
    distributions: list[str]


def import_everything(root: Root, python: str) -> Imports:
    """Import every top-level module that ``python`` sees, each in a process of its own."""
    return Imports(**json.loads(root.run([python, "-I", "-B", "-c", _IMPORT_EVERYTHING]).stdout))


def unresolved_libraries(root: Root, folder: str) -> list[str]:
    """Return ``FILE: SONAME`` for what the extension modules below ``folder`` need and ld.so does not find (ldd(1)).

    Libraries that they load are followed; those in the ``.libs`` folders that auditwheel(1) makes are not asked by
    themselves, because they are found by the run path of what loads them.
    """
    find = ["find", folder, "-type", "d", "-name", "*.libs", "-prune", "-o"]
    find += ["-type", "f", "(", "-name", "*.so", "-o", "-name", "*.so.*", ")", "-print0"]
    files = [file for file in root.run(find).stdout.split("\0") if file]
    listing = root.run(["xargs", "--null", "--no-run-if-empty", "ldd"], stdin="\0".join(files), check=False).stdout
    missing, current = [], ""
    for line in listing.splitlines():
        if not line.startswith("\t"):
            current = line.rstrip(":")
        elif line.endswith("not found"):
            missing.append(f"{current}: {line.split()[0]}")
    return sorted(missing)
