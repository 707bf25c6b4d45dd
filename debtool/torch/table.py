"""The shape of ``settings.toml``: a setting, what is expected of it, and what a user may not set."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import AfterValidator, Field, StringConstraints

from debtool.model.definition import Strict
from debtool.model.stack import SpecifierText
from debtool.model.target import Line, TwoNumbers

if TYPE_CHECKING:
    from debtool.torch.settings import Choice

Goes: TypeAlias = Literal["environment", "cache", "plain"]
Condition: TypeAlias = Literal["cpu-only", "rocm", "free", "dispatch-safe", "upstream", "debian", "elsewhere"]

PLACEHOLDER = re.compile(r"\{(\w+)\}")
_KNOWN = ("gpu", "march", "version", "rocm", "jobs", "folder", "source")


def _placeholders(text: str) -> str:
    if unknown := set(PLACEHOLDER.findall(text)).difference(_KNOWN):
        raise ValueError(f"{{{min(unknown)}}} is no placeholder; known: {', '.join(_KNOWN)}")
    return text


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return text


Value = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\n]*$"), AfterValidator(_placeholders)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Reason = Annotated[str, StringConstraints(min_length=4, pattern=r"^[^\n]*$")]


class Expect(Strict):
    """What configure must make of a setting.

    Attributes:
        cache: The entry of CMake's cache; by default the setting's own name.
        value: Its value; by default the setting's own.
        contains: Words that must be in the value, instead.
        summary: The line of PyTorch's closing summary that must say the same.
        summary_value: What it says, if that is another word.
    """

    cache: Variable | None = None
    value: Value | None = None
    contains: Value | None = None
    summary: Line | None = None
    summary_value: Line | None = None


class Setting(Strict):
    """A setting, as the file has it.

    Attributes:
        goes: Where it is set.
        versions: For which releases; all if it is empty.
        when: What must hold.
        read: Where PyTorch 2.6.0 reads it.
        spelled: How a file composes its name, if it does.
        third_party: Whether another project below ``third_party`` reads it.
        expect: What is held against what configure made of it.
        may_be_unused: Why CMake's cache may have it as something that nobody declared.
    """

    name: Variable
    value: Value
    goes: Goes
    versions: SpecifierText = ""
    when: tuple[Condition, ...] = ()
    read: Annotated[tuple[Line, ...], Field(min_length=1)]
    spelled: Line | None = None
    third_party: bool = False
    expect: Expect | None = None
    may_be_unused: Reason | None = None
    reason: Reason
    source: Reason

    def is_for(self, choice: Choice) -> bool:
        """Return whether it is set for ``choice``."""
        release = Version(choice.version.base_version)
        return choice.holds.issuperset(self.when) and SpecifierSet(self.versions).contains(release)


class Refusal(Strict):
    """Values that a user may not give; ``pattern`` is found in them, letter case ignored."""

    names: tuple[Variable, ...]
    pattern: Annotated[str, AfterValidator(_expression)]
    when: tuple[Condition, ...] = ()
    reason: Reason
    source: Reason
    fix: Reason


class Release(Strict):
    """What is known of a series of releases: how well it was checked, and in which sources."""

    series: TwoNumbers
    checked: Literal["configured", "read", "assumed"]
    source: Reason
