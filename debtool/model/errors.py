"""What a user is told when something is wrong: the file, the field, the rule and the fix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 -- a dataclass field's type is looked up at run time by tools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong.

    Attributes:
        problem: What was found, in one sentence without a full stop.
        fix: What the user can do about it.
        file: The file it was found in, if any.
        line: The 1-based line in that file, if known.
        field: The key, member or field concerned, if any.
        rule: The rule that is broken and its source (a specification's section, a page of the documentation).

    >>> print(Issue("unknown key", fix="remove it", file=Path("a.toml"), line=3, field="stack.nme"))
    a.toml:3: stack.nme: unknown key; fix: remove it
    """

    problem: str
    fix: str
    file: Path | None = None
    line: int | None = None
    field: str | None = None
    rule: str | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        field = f"{self.field}: " if self.field else ""
        rule = f" ({self.rule})" if self.rule else ""
        return f"{place}{field}{self.problem}{rule}; fix: {self.fix}"


class DebtoolError(Exception):
    """Something that the user must know about; the base of every error that debtool raises on purpose.

    Attributes:
        issues: Every problem found, so that all can be mended at once; never empty.
        exit_code: What the command line exits with.
    """

    exit_code = 2

    def __init__(self, *issues: Issue) -> None:
        self.issues = issues
        super().__init__("\n".join(str(issue) for issue in issues))

    def __reduce__(self) -> tuple[type[DebtoolError], tuple[Issue, ...]]:
        """Travel between processes with the issues, not with their text."""
        return type(self), self.issues


class InputError(DebtoolError):
    """The user's input is wrong: a file, an option, a wheel (exit code 2)."""


class FindingsError(DebtoolError):
    """The work was done and what it found is not acceptable (exit code 1)."""

    exit_code = 1


class OutsideError(DebtoolError):
    """A tool or a service outside debtool is missing or failed (exit code 3)."""

    exit_code = 3


def together(errors: Sequence[DebtoolError]) -> DebtoolError:
    """Return one error with every issue of ``errors``: an ``OutsideError`` if any is one, else an ``InputError``."""
    outside = any(isinstance(error, OutsideError) for error in errors)
    return (OutsideError if outside else InputError)(*(issue for error in errors for issue in error.issues))
