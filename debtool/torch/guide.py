"""What a widespread no-AVX guide sets, and what becomes of each flag (``guide.toml``)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from debtool.model.definition import Strict, parse_definition
from debtool.torch.table import Reason, Variable

_FILE = Path(__file__).with_name("guide.toml")


class Flag(Strict):
    """A flag, or a step, of the guide.

    Attributes:
        wrote: What stands there.
        names: The settings in it.
        read: Whether PyTorch 2.6.0 reads them; None for what is no setting.
        revisions: The revisions of the guide that have it.
        meant: What it was to do.
        does: What it does.
        instead: What debtool does.
        source: Where that is known from.
    """

    wrote: Reason
    names: tuple[Variable, ...] = ()
    read: bool | None = None
    revisions: tuple[Literal["first", "second"], ...]
    meant: Reason
    does: Reason
    instead: Reason
    source: Reason

    @model_validator(mode="after")
    def _says_whether(self) -> Flag:
        if (self.read is None) != (not self.names):
            raise ValueError("a flag with names says whether they are read, and only such a flag does")
        return self


class Guide(Strict):
    """The flags, in the order in which they are told."""

    flag: tuple[Flag, ...]


@cache
def load_guide() -> Guide:
    """Return the guide's flags."""
    return parse_definition(_FILE.read_text(encoding="utf-8"), _FILE, Guide, "docs/torch.md")
