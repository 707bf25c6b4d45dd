"""CPUs that packages must run on: what each can execute, from ``baselines.toml``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from debtool.model.definition import Strict, read_toml
from debtool.model.errors import InputError, Issue

_FILE = Path(__file__).with_name("baselines.toml")

Effect = Literal["faults", "silent", "harmless"]


class Quirk(Strict):
    """What a CPU without ``feature`` does with some of its instructions.

    Attributes:
        feature: The CPUID feature.
        mnemonics: The instructions, in lower case.
        effect: ``silent``: it computes something else; ``harmless``: nothing, or what was meant; ``faults``.
        reason: What happens there.
        source: Who says so.
    """

    feature: str
    mnemonics: tuple[str, ...]
    effect: Effect
    reason: str
    source: str


class _Table(Strict):
    title: str
    march: str
    features: tuple[str, ...]
    extends: str | None = None
    qemu: str | None = None


class _File(Strict):
    quirk: tuple[Quirk, ...]
    baseline: dict[str, _Table] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A CPU that packages must run on.

    Attributes:
        name: Its name in stack files and on the command line.
        title: Its name for people.
        features: The CPUID features that it has, as iced-x86 names them.
        march: The compiler's ``-march=`` for it.
        qemu: The emulator's ``-cpu`` for it, None if there is none that is like it.
        quirks: What it does with instructions of features that it lacks, if not fault.
    """

    name: str
    title: str
    features: frozenset[str]
    march: str
    qemu: str | None
    quirks: tuple[Quirk, ...]

    @property
    def digest(self) -> str:
        """The hash of everything that decides what is a finding."""
        quirks = sorted(f"{quirk.feature} {quirk.mnemonics} {quirk.effect}" for quirk in self.quirks)
        return hashlib.sha256("\n".join([*sorted(self.features), *quirks]).encode()).hexdigest()

    def effect(self, mnemonic: str) -> Effect:
        """Return what this CPU does with an instruction of a feature that it lacks."""
        return next((quirk.effect for quirk in self.quirks if mnemonic in quirk.mnemonics), "faults")


@cache
def baselines() -> dict[str, Baseline]:
    """Return every baseline by name."""
    data = read_toml(_FILE.read_text(encoding="utf-8"), _FILE)
    file = _File(quirk=data.pop("quirk"), baseline=data)
    found: dict[str, Baseline] = {}
    for name, table in file.baseline.items():
        inherited = found[table.extends].features if table.extends else frozenset()
        features = inherited | set(table.features)
        quirks = tuple(quirk for quirk in file.quirk if quirk.feature not in features)
        found[name] = Baseline(name, table.title, features, table.march, table.qemu, quirks)
    return found


def find_baseline(name: str) -> Baseline:
    """Return the baseline called ``name``; raises ``InputError``, which names all, if there is none."""
    known = baselines()
    if name not in known:
        raise InputError(
            Issue(f"there is no CPU baseline called {name!r}", field="--cpu", fix=f"one of {', '.join(sorted(known))}")
        )
    return known[name]
