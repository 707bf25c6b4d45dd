"""The probes of each package: Python files below ``probes``, read here without being run.

A file is called as the distribution is, with underscores. Each of its public functions without parameters is a probe:
it returns numbers, text, arrays or tensors, or lists of them, which must be the same on every CPU. Beside them it may
say, as literals:

- ``TOLERANCE``, and for single probes ``TOLERANCES``: how far numbers may be apart (relative, and absolute near zero);
- ``REFUSALS``: by probe, the exception by which the package says that a CPU cannot do it, which is no fault;
- ``WITH``: distributions that the probes use beside what the package requires.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).with_name("probes")
_TOLERANCE = 1e-5
_SETTINGS = ("TOLERANCE", "TOLERANCES", "REFUSALS", "WITH")


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """The probes of one package.

    Attributes:
        file: The Python file, None for a package without probes of its own: its modules are imported, no more.
        names: The probes, in the file's order.
        tolerance: How far apart numbers may be where nothing else is said.
        tolerances: What else is said, by probe.
        refusals: By probe, the type of the exception that says that the CPU cannot do it.
        uses: The other distributions that the probes use, normalised.
    """

    file: Path | None = None
    names: tuple[str, ...] = ()
    tolerance: float = _TOLERANCE
    tolerances: Mapping[str, float] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)
    uses: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The hash of the file, empty without one."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest() if self.file is not None else ""

    def tolerance_of(self, name: str) -> float:
        """Return how far apart the numbers of probe ``name`` may be."""
        return self.tolerances.get(name, self.tolerance)


def find_probes(distribution: str, folder: Path = FOLDER) -> ProbeSet:
    """Return the probes of ``distribution``.

    Raises ``ValueError`` if the file names a probe that it does not have.
    """
    file = folder / f"{canonicalize_name(distribution).replace('-', '_')}.py"
    return read_probes(file) if file.is_file() else ProbeSet()


def read_probes(file: Path) -> ProbeSet:
    """Return what is in ``file``; raises ``ValueError`` if it says something of a probe that it does not have."""
    names: list[str] = []
    said: dict[str, Any] = {}
    for node in ast.parse(file.read_bytes(), str(file)).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            names.append(node.name)
        elif isinstance(node, ast.Assign) and (name := ast.unparse(node.targets[0])) in _SETTINGS:
            said[name] = ast.literal_eval(node.value)
    unknown = {*said.get("TOLERANCES", ()), *said.get("REFUSALS", ())} - {*names}
    if unknown:
        raise ValueError(f"{file} has no probe called {', '.join(sorted(unknown))}")
    return ProbeSet(
        file=file,
        names=tuple(names),
        tolerance=said.get("TOLERANCE", _TOLERANCE),
        tolerances=said.get("TOLERANCES", {}),
        refusals=said.get("REFUSALS", {}),
        uses=tuple(map(canonicalize_name, said.get("WITH", ()))),
    )
