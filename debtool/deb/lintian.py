"""The lintian overrides of a package: tags by what the package holds, each with its reason."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

Trait = Literal["package", "audited", "elf", "bytecode", "scripts", "set"]
"""What a package holds that lintian judges by rules made for other packages than these; all are a ``package``."""

_RULES = Path(__file__).with_name("lintian_overrides.toml")


@dataclass(frozen=True, slots=True)
class OverrideRules:
    """What ``lintian_overrides.toml`` says.

    Attributes:
        never: Patterns of tags that must not be overridden.
        tags: What is overridden in packages with a trait: a tag, or a tag and what it says, separated by a space.
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
    data = tomllib.loads(_RULES.read_text(encoding="utf-8"))
    return OverrideRules(
        never=tuple(data["never"]),
        tags={trait: tuple(sorted(data[trait]["tags"])) for trait in get_args(Trait)},
        reasons={trait: data[trait]["reason"].strip() for trait in get_args(Trait)},
    )


@cache
def rules_digest() -> str:
    """Return the SHA-256 of the rules, for input keys."""
    return hashlib.sha256(_RULES.read_bytes()).hexdigest()


def overrides(package: str, traits: Iterable[Trait]) -> str:
    """Return the text of ``/usr/share/lintian/overrides/PACKAGE``, empty if ``traits`` is.

    The reason stands before every tag, because lintian takes a comment for the next tag only (lintian's manual,
    "Overrides").
    """
    rules = override_rules()
    blocks = []
    for trait in sorted(traits):
        reason = "".join(f"# {line}\n" for line in rules.reasons[trait].splitlines())
        blocks += [f"{reason}{package}: {tag}\n" for tag in rules.tags[trait]]
    return "\n".join(blocks)
