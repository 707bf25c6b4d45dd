"""An archive's definition: what its Release files say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from debtool.model.definition import Strict, parse_definition
from debtool.model.target import Line, Word

if TYPE_CHECKING:
    from pathlib import Path


class ArchiveDefinition(Strict):
    """One archive file.

    Attributes:
        origin: ``Origin`` of its Release files; what pins and phasing name.
        label: ``Label`` of its Release files.
        description: ``Description`` of its Release files.
        key_uid: The user id of its signing key.
        url: Where machines reach it; a release for local use leaves it out.
        channels: What machines can follow, the first being where a release goes.
        architectures: What it serves.
        component: Its one component.
        valid_days: For how many days clients trust a Release file (``Valid-Until``); none if left out.
    """

    schema_: Literal[1] = Field(alias="schema")
    name: Word
    origin: Line
    label: Line
    description: Line
    key_uid: Line
    url: Line | None = None
    channels: Annotated[tuple[Word, ...], Field(min_length=1)] = ("canary", "stable")
    architectures: tuple[Word, ...] = ("amd64",)
    component: Word = "main"
    valid_days: Annotated[int, Field(gt=0)] | None = None


def parse_archive(text: str, file: Path) -> ArchiveDefinition:
    """Return the archive described by ``text``, read from ``file``."""
    return parse_definition(text, file, ArchiveDefinition, "docs/archive.md")
