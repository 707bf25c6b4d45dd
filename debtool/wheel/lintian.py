"""The lintian overrides of a wheel's package: tags by what the package holds, each with its reason."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

Trait = Literal["elf", "bytecode", "scripts"]
"""What a package holds that lintian judges by rules made for other packages than these."""


@dataclass(frozen=True, slots=True)
class OverrideRules:
    """What ``lintian_overrides.toml`` says.

    Attributes:
        never: Patterns of tags that must not be overridden.
        tags: The tags that are overridden in packages with a trait.
        reasons: Why, for each trait.
    """

    never: tuple[str, ...]
    tags: dict[Trait, tuple[str, ...]]
    reasons: dict[Trait, str]

    def may_override(self, tag: str) -> bool:
        """Say whether ``tag`` may be overridden at all."""
        return not any(fnmatchcase(tag, pattern) for pattern in self.never)


@cache
def override_rules() -> OverrideRules:
    """Return the rules that come with debtool."""
    data = tomllib.loads(Path(__file__).with_name("lintian_overrides.toml").read_text(encoding="utf-8"))
    return OverrideRules(
        never=tuple(data["never"]),
        tags={trait: tuple(sorted(data[trait]["tags"])) for trait in get_args(Trait)},
        reasons={trait: data[trait]["reason"].strip() for trait in get_args(Trait)},
    )


def overrides(package: str, traits: Iterable[Trait]) -> str:
    """Return the text of ``/usr/share/lintian/overrides/PACKAGE``, empty if ``traits`` is."""
    rules = override_rules()
    blocks = []
    for trait in sorted(traits):
        reason = [f"# {line}" for line in rules.reasons[trait].splitlines()]
        blocks.append("\n".join([*reason, *(f"{package}: {tag}" for tag in rules.tags[trait])]))
    return "\n\n".join(blocks) + "\n" if blocks else ""
