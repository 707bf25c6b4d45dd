"""What an audit finds: functions with instructions that a CPU baseline lacks, and what became of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The classes of findings, the gravest first."""

    IMPORT_TIME = "import-time"
    """Reached from .init_array or an IFUNC resolver: executed when the library is loaded."""
    SILENT = "silent"
    """Executed by the baseline as something else: wrong numbers, no fault."""
    SHARED_WEAK = "shared-weak"
    """In a weak symbol of a name that says nothing of a CPU: any other unit may be linked to this copy (ODR)."""
    UNGUARDED = "unguarded"
    """No rule says that a CPU without the feature stays away from it."""
    DISPATCHED = "dispatched"
    """A recorded rule says that it is only executed after CPUID was asked."""
    DATA = "data"
    """No instruction: data between functions that decodes like one."""


class Level(StrEnum):
    """What is promised of a file or a package, the best first."""

    FREE = "free"
    """Contains no instruction that the baseline lacks."""
    DISPATCH_SAFE = "dispatch-safe"
    """Contains some, and never executes them on the baseline."""
    UNPROVEN = "unproven"
    """Contains some that may be executed on the baseline."""


@dataclass(frozen=True, slots=True)
class Feature:
    """The instructions of one CPUID feature in one function.

    Attributes:
        name: The feature, as iced-x86 names it; ``+`` between them if one instruction lacks several.
        count: How many instructions.
        address: The virtual address of the first.
        code: The bytes of the first, hexadecimal.
        text: The first, disassembled (Intel syntax).
    """

    name: str
    count: int
    address: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One function with instructions that the baseline lacks.

    Attributes:
        symbol: Its symbol as the file has it, empty if none is known.
        name: The symbol demangled.
        unit: The compile unit (STT_FILE), empty if unknown.
        section: The section that it is in.
        binding: ``local``, ``global``, ``weak`` or ``unique``; empty without a symbol.
        exported: Whether other files can be linked to it.
        address: The virtual address that it starts at.
        features: Its instructions beyond the baseline, by feature, the most frequent first.
        kind: Its class.
        rule: What decided: the id of a rule of ``rules.toml``, or of a built-in one.
        path: The call chain that decided, from where it is entered to this function; empty if none did.
    """

    symbol: str
    name: str
    unit: str
    section: str
    binding: str
    exported: bool
    address: int
    features: tuple[Feature, ...]
    kind: Kind
    rule: str
    path: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many instructions."""
        return sum(feature.count for feature in self.features)


@dataclass(frozen=True, slots=True)
class FileAudit:
    """One ELF file, audited.

    Attributes:
        path: Its path: below the wheel, the package or the folder.
        sha256: The hash of its contents.
        size: Its bytes.
        code: Bytes of its executable sections.
        instructions: How many instructions were decoded.
        functions: How many functions are known to start in it.
        symbols: Where function names came from: ``symtab``, ``dynsym``, or ``none``.
        undecoded: Bytes of executable sections that are no instructions.
        findings: The functions with instructions beyond the baseline.
        note: Why the file was not audited (another architecture, no code); empty if it was. It begins with
            ``damaged`` if the file is no ELF file that can be read: nothing is known of such a one.
    """

    path: str
    sha256: str
    size: int
    code: int = 0
    instructions: int = 0
    functions: int = 0
    symbols: str = "none"
    undecoded: int = 0
    findings: tuple[Finding, ...] = ()
    note: str = ""

    @property
    def damaged(self) -> bool:
        """Whether it could not be read, though it seems to be an ELF file: a loader may be more forgiving."""
        return self.note.startswith("damaged")

    @property
    def level(self) -> Level:
        """What is promised of it: of a damaged one nothing."""
        return Level.UNPROVEN if self.damaged else level(self.findings)

    @property
    def kinds(self) -> Counter[Kind]:
        """How many functions there are of each class."""
        return Counter(finding.kind for finding in self.findings)


@dataclass(frozen=True, slots=True)
class PackageAudit:
    """A wheel, a package, a folder or a file, audited.

    Attributes:
        subject: What was asked for, as the user named it.
        sha256: The hash of the wheel or package; empty for a folder.
        baseline: The baseline's name.
        rules: The digest of the rules and the baseline that decided.
        files: Its ELF files, in the order of their paths.
    """

    subject: str
    sha256: str
    baseline: str
    rules: str
    files: tuple[FileAudit, ...]

    @property
    def level(self) -> Level:
        """What is promised of the whole: the worst of its files."""
        order = list(Level)
        return max((file.level for file in self.files), key=order.index, default=Level.FREE)


SAFE = frozenset({Kind.DISPATCHED, Kind.DATA})
"""The classes that are never executed on the baseline."""


def level(findings: tuple[Finding, ...]) -> Level:
    """Return what can be promised of a file with ``findings``."""
    kinds = {finding.kind for finding in findings} - {Kind.DATA}
    if not kinds:
        return Level.FREE
    return Level.DISPATCH_SAFE if kinds <= SAFE else Level.UNPROVEN
