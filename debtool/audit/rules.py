"""The recorded rules: which code is only executed after the CPU was asked, why, and who says so."""

from __future__ import annotations

import hashlib
import re
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import StringConstraints, model_validator

from debtool.model.definition import Strict, parse_definition

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE = Path(__file__).with_name("rules.toml")


class Rule(Strict):
    """Code that is dispatched; everything that is named must match.

    Attributes:
        id: Its name in reports.
        distribution: Patterns (fnmatch) of the wheel's normalised distribution name.
        file: Patterns of the file's path.
        unit: Patterns of the compile unit.
        symbol: Patterns of the demangled symbol.
        features: The function has no other CPUID features beyond the baseline than these.
        guard: Patterns of functions that ask the CPU: a function all of whose callers call one of them is dispatched.
        reason: Why the baseline stays away from it.
        source: Who says so.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    distribution: tuple[str, ...] = ()
    file: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    symbol: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    guard: tuple[str, ...] = ()
    reason: str
    source: str

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if not (self.distribution or self.file or self.unit or self.symbol or self.guard):
            raise ValueError("a rule names at least one of distribution, file, unit, symbol and guard")
        return self


class Rules(Strict):
    """All rules, the first that applies decides."""

    rule: tuple[Rule, ...] = ()

    @cached_property
    def digest(self) -> str:
        """The hash of what the rules say."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_rules(file: Path | None = None) -> Rules:
    """Return the rules in ``file``, by default those that come with debtool; raises ``InputError`` if it is wrong."""
    file = file or _FILE
    return parse_definition(file.read_text(encoding="utf-8"), file, Rules, "docs/audit.md")


def matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one expression for all of ``patterns`` (fnmatch, letters as they are)."""
    return re.compile("|".join(map(translate, patterns)))
