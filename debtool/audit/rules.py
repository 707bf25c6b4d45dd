"""The rules: which code is only executed after the CPU was asked, why, and who says so."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import StringConstraints, model_validator

from debtool.model.definition import Strict, parse_definition

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE = Path(__file__).with_name("rules.toml")

_SAYS_NOTHING = frozenset({"*", "**", "?*"})
"""Patterns that every symbol matches."""


class Rule(Strict):
    """Code that is dispatched, or functions that ask the CPU; everything that is named must match.

    Attributes:
        id: Its name in reports.
        distribution: Patterns (fnmatch) of the wheel's normalised distribution name.
        file: Patterns of the file's path.
        unit: Patterns of the compile unit.
        symbol: Patterns of the demangled symbol; one that is empty means code without a symbol.
        features: The function has no other CPUID features beyond the baseline than these.
        guard: Patterns of functions that ask the CPU: a function all of whose callers call one of them is dispatched.
        reason: Why the baseline stays away from it.
        source: Who says so.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    distribution: tuple[str, ...] = ()
    file: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    symbol: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    guard: tuple[str, ...] = ()
    reason: Annotated[str, StringConstraints(min_length=20)]
    source: Annotated[str, StringConstraints(min_length=5)]

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if not (self.distribution or self.file or self.unit or self.symbol or self.guard):
            raise ValueError("a rule names at least one of distribution, file, unit, symbol and guard")
        if self.guard and (self.unit or self.symbol or self.features):
            raise ValueError("a rule with a guard names no unit, symbol or features: what calls the guard is guarded")
        return self

    def is_for(self, path: str, distribution: str) -> bool:
        """Return whether it may apply to code of the file ``path`` of ``distribution``."""
        tests = ((self.file, path), (self.distribution, distribution))
        return all(matcher(patterns).fullmatch(text) for patterns, text in tests if patterns)

    @property
    def names_symbols(self) -> bool:
        """Whether it tells functions apart by their names."""
        return bool(self.symbol) and not _SAYS_NOTHING & set(self.symbol)


class Rules(Strict):
    """All rules, the first that applies decides."""

    rule: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> Rules:
        ids = [rule.id for rule in self.rule]
        if len(set(ids)) < len(ids):
            twice = sorted({name for name in ids if ids.count(name) > 1})
            raise ValueError(f"several rules are called {', '.join(twice)}")
        return self

    @cached_property
    def digest(self) -> str:
        """The hash of what the rules say, the built-in ones included."""
        builtin = "\n".join(f"{one.id} {one.reason}" for one in BUILTIN.values())
        return hashlib.sha256((self.model_dump_json() + builtin).encode()).hexdigest()

    @cached_property
    def by_id(self) -> dict[str, Rule]:
        """The rules by their names."""
        return {rule.id: rule for rule in self.rule}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a finding has its class.

    Attributes:
        id: The rule that decided.
        reason: What it says.
        source: Who says so.
    """

    id: str
    reason: str
    source: str


_HERE: Final = "docs/audit.md"

BUILTIN: Final = {
    one.id: one
    for one in (
        Explanation(
            "builtin.data",
            "the bytes cannot be an instruction of a program: data between functions that decodes like one",
            "Intel SDM vol. 2",
        ),
        Explanation(
            "builtin.import-time",
            "direct calls lead to it from .init, .init_array or an IFUNC resolver, and none of the functions on the "
            "way asks the CPU: it is executed when the library is loaded, whatever a dispatcher would decide later",
            "gABI, Initialization and Termination Functions; PyTorch issue 37577",
        ),
        Explanation(
            "builtin.silent",
            "the baseline executes the instruction as another one, without a fault, and no rule keeps it away",
            "Intel SDM vol. 2, LZCNT",
        ),
        Explanation(
            "builtin.weak",
            "the linker keeps one copy of a weak function for all units, and took that of a unit compiled for another "
            "CPU: code that was compiled for every CPU may be linked to it",
            "Itanium C++ ABI 5.2 (vague linkage); PyTorch issue 32724",
        ),
        Explanation(
            "builtin.xgetbv-after-cpuid",
            "XGETBV alone, as it stands in code that asks which registers the system saves: a program executes it "
            "after CPUID said OSXSAVE",
            "Intel SDM vol. 1, 13.2",
        ),
        Explanation(
            "builtin.clone",
            "a copy that the compiler made for some CPUs (target_clones); the resolver of that function asks the CPU",
            "GCC manual, Common Function Attributes, target_clones",
        ),
        Explanation(
            "builtin.guarded-by",
            "every chain of calls that leads to it passes a function that asks the CPU, or one that a rule covers",
            _HERE,
        ),
        Explanation("builtin.reached", "nothing on this chain of calls is known to ask the CPU", _HERE),
        Explanation(
            "builtin.unknown-callers",
            "nothing in the file calls it directly, no rule covers it: who calls it is unknown",
            _HERE,
        ),
    )
}
"""The rules that are not recorded but worked out from the file, by their ids."""


def explain(rule_id: str, rules: Rules) -> Explanation:
    """Return what the rule called ``rule_id`` says; raises ``KeyError`` if there is none."""
    if rule_id in BUILTIN:
        return BUILTIN[rule_id]
    rule = rules.by_id[rule_id]
    return Explanation(rule.id, rule.reason, rule.source)


def load_rules(file: Path | None = None) -> Rules:
    """Return the rules in ``file``, by default those that come with debtool; raises ``InputError`` if it is wrong."""
    file = file or _FILE
    return parse_definition(file.read_text(encoding="utf-8"), file, Rules, "docs/audit.md")


def matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one expression for all of ``patterns`` (fnmatch, letters as they are)."""
    return re.compile("|".join(map(translate, patterns)))
