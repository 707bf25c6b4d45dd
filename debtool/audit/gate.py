"""What the emulated gate says of a package: a verdict, kept by what it was reached with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from debtool.deb.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from debtool.audit.baselines import Baseline

# Raised when what a verdict means, or how it is reached, changes.
_FORMAT = 2

Outcome = Literal["same", "refused", "differs", "sigill", "error", "timeout"]
_OUTCOMES = frozenset(get_args(Outcome))
_FINE = frozenset({"same", "refused"})


@dataclass(frozen=True, slots=True)
class Fault:
    """An instruction that the emulated CPU does not have, and that was executed.

    Attributes:
        address: Its virtual address in the library.
        code: Its bytes, hexadecimal.
        text: It, disassembled (Intel syntax).
        symbol: The function's symbol with the distance from its start, empty if none is known.
        name: The symbol demangled.
        library: The file, relative to the folder that the package is installed in.
        python: The Python lines that led there as ``file:line function``, the innermost first.
    """

    address: int
    code: str
    text: str
    symbol: str
    name: str
    library: str
    python: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of one probe, or of one module's import.

    Attributes:
        name: ``import MODULE``, ``load LIBRARY``, ``run PROGRAM --version``, or the probe's name.
        outcome: ``same`` as natively (the same error included); ``refused``: the package says by the error that its
            probe set names that this CPU cannot do it; ``differs``: other numbers; ``sigill``; ``error``: another
            error or another signal than natively; ``timeout``.
        detail: What is behind it, in a line; may be empty if it is the same.
        fault: What was executed, of ``sigill``.
    """

    name: str
    outcome: Outcome
    detail: str = ""
    fault: Fault | None = None

    @property
    def failed(self) -> bool:
        """Whether it is a finding."""
        return self.outcome not in _FINE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What running a package on an emulated CPU showed.

    Attributes:
        subject: The wheel's file name, or the name of what is installed.
        sha256: The wheel's hash; empty for what is installed.
        cpu: The emulator's model.
        emulator: Its name and version.
        probes: The digest of the probes, and of everything that runs them.
        control: What failed on purpose before anything was judged, and how.
        modules: How many modules were imported, natively and emulated.
        results: Every probe and program; of modules and libraries what works natively and not emulated.
        absent: What does not work natively either, or was not reached, with the reason.
        wheels: The hashes of the wheels that it was run with, its own not included.
        seconds: How long its two runs took.
        loaded: How many of its compiled modules, libraries and programs were loaded in emulation.
        unloaded: How many were not: what they need is not there, nothing uses them, or a fault came first. Nothing is
            known of those.
    """

    subject: str
    sha256: str
    cpu: str
    emulator: str
    probes: str
    control: str
    modules: int
    results: tuple[ProbeResult, ...]
    absent: tuple[tuple[str, str], ...] = ()
    wheels: tuple[str, ...] = ()
    seconds: float = 0.0
    loaded: int = 0
    unloaded: int = 0

    @property
    def findings(self) -> tuple[ProbeResult, ...]:
        """What is wrong."""
        return tuple(result for result in self.results if result.failed)

    @property
    def failed(self) -> bool:
        """Whether anything is wrong."""
        return any(result.failed for result in self.results)

    @property
    def tried(self) -> bool:
        """Whether anything is known of its machine code, if it has any."""
        return self.loaded > 0 or self.unloaded == 0

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The instructions that were executed and do not exist there."""
        return tuple(result.fault for result in self.results if result.fault is not None)


def kept_verdict(cache: Path, sha256: str, baseline: Baseline) -> Verdict | None:
    """Return the newest verdict that is kept below ``cache`` for a wheel on ``baseline``; None if there is none.

    Nothing is run, and no emulator has to be there. A verdict is not asked with what it was reached: whoever wants
    that asks its ``wheels`` and ``probes``.
    """
    found: list[tuple[int, Verdict]] = []
    for file in _folder(cache, sha256).glob("*.json"):
        verdict = _read(file)
        if verdict is not None and verdict.cpu == baseline.qemu:
            found.append((file.stat().st_mtime_ns, verdict))
    return max(found, key=lambda one: one[0])[1] if found else None


def find_verdict(
    cache: Path, sha256: str, *, cpu: str, emulator: str, probes: str, wheels: Iterable[str]
) -> Verdict | None:
    """Return the verdict that is kept below ``cache`` and was reached with exactly this; None if there is none."""
    return _read(_folder(cache, sha256) / _name(cpu, emulator, probes, wheels))


def keep_verdict(cache: Path, verdict: Verdict) -> None:
    """Keep ``verdict``, which must be of a wheel, below ``cache``."""
    name = _name(verdict.cpu, verdict.emulator, verdict.probes, verdict.wheels)
    data = json.dumps({"format": _FORMAT, **asdict(verdict)}, indent=1).encode()
    replace_file(_folder(cache, verdict.sha256) / name, data)


def _folder(cache: Path, sha256: str) -> Path:
    return cache / "gate" / "verdicts" / sha256


def _name(cpu: str, emulator: str, probes: str, wheels: Iterable[str]) -> str:
    key = hashlib.sha256("\n".join([cpu, emulator, probes, *sorted(wheels)]).encode()).hexdigest()
    return f"{key}.json"


def _read(file: Path) -> Verdict | None:
    """Return what is kept in ``file``; None if it is not there, of another format, or damaged."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return _from_json(data) if data.pop("format") == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _from_json(data: dict[str, Any]) -> Verdict:
    results = []
    for one in data.pop("results"):
        if one["outcome"] not in _OUTCOMES:
            raise ValueError(one["outcome"])
        fault = one.pop("fault")
        if fault is not None:
            fault = Fault(**{**fault, "python": tuple(fault["python"])})
        results.append(ProbeResult(**one, fault=fault))
    absent = tuple((name, reason) for name, reason in data.pop("absent"))
    return Verdict(**{**data, "wheels": tuple(data["wheels"])}, results=tuple(results), absent=absent)
