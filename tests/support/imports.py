"""Whether what is installed in a root can be imported there, and whether its libraries can be loaded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.model.names import wheel_package

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.build.root import Root

# Runs in the root. Imports every top-level module in a process of its own, in which the distributions that its package
# does not depend on, directly or not, are not there. Reads those it may see, by distribution; prints what failed.
_IMPORT_EVERYTHING = """
import concurrent.futures, importlib.metadata, json, os, re, subprocess, sys

ATTEMPT = '''
import json, re, sys
from importlib.machinery import PathFinder

module, (hidden, distributions) = sys.argv[1], json.loads(sys.stdin.read())

class Seen:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in hidden:  # setuptools puts a folder of copies on sys.path, which stay in sight
            path = [entry for entry in sys.path if not entry.endswith("/site-packages")]
        return PathFinder.find_spec(name, path, target)

    @staticmethod
    def find_distributions(*context):
        found = PathFinder.find_distributions(*context)
        return (one for one in found if re.sub("[-_.]+", "-", one.name).lower() not in distributions)

    invalidate_caches = PathFinder.invalidate_caches

sys.meta_path[sys.meta_path.index(PathFinder)] = Seen
__import__(module)
'''

def attempt(module):
    visible = set().union(*(closures[owner] for owner in owners[module]))
    hidden = [other for other in owners if not visible & owners[other]]
    command = [sys.executable, "-I", "-B", "-c", ATTEMPT, module]
    told = json.dumps([hidden, sorted(closures.keys() - visible)])
    done = subprocess.run(command, input=told, capture_output=True, text=True)
    return module, done.returncode, done.stderr.strip()[-500:]

closures = {name: set(names) for name, names in json.load(sys.stdin).items()}
canonical = lambda name: re.sub("[-_.]+", "-", name).lower()
found = importlib.metadata.packages_distributions().items()
owners = {module: {canonical(name) for name in names} for module, names in found if module.isidentifier()}
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    results = list(pool.map(attempt, sorted(owners)))
failed = {module: error for module, status, error in results if status}
print(json.dumps({"distributions": sorted(set().union(*owners.values())), "failed": failed}))
"""


@dataclass(frozen=True)
class Imports:
    """What came of importing.

    Attributes:
        distributions: The canonical names of those that have modules; each was tried.
        failed: The end of what was printed, by the module that could not be imported.
    """

    distributions: list[str]
    failed: Mapping[str, str]


def import_everything(root: Root, venv: str, prefix: str) -> Imports:
    """Import every top-level module of the environment ``venv`` in ``root``, each in a process of its own.

    A module sees only the distributions that its package depends on, as if nothing else had been installed.
    """
    start = wheel_package(prefix, "x")[:-1]
    listing = root.run(["dpkg-query", "--show", "--showformat=${Package}|${Depends}\n", f"{start}*"]).stdout
    depends = {}
    for line in listing.splitlines():
        package, _, relations = line.partition("|")
        found = re.findall(rf"{re.escape(start)}([a-z0-9.+-]+)", relations)
        depends[package.removeprefix(start)] = {name.partition("+")[0] for name in found}
    closures = {name: sorted(_closure(name, depends)) for name in depends}
    command = [f"{venv}/bin/python3", "-I", "-B", "-c", _IMPORT_EVERYTHING]
    return Imports(**json.loads(root.run(command, stdin=json.dumps(closures)).stdout))


def _closure(name: str, depends: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = {name}
    while waiting:
        seen |= waiting
        waiting = set().union(*(depends.get(one, set()) for one in waiting)) - seen
    return seen


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
