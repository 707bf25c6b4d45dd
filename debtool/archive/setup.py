"""Making an archive: its private half first, its configuration last, so that half an archive is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from debtool.archive.index import Index
from debtool.archive.page import front_page
from debtool.archive.signing import Signer
from debtool.archive.values import ArchiveConfig, Key
from debtool.deb.files import make_directory, write_if_changed
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from debtool.archive.layout import Layout

_FIXED = {
    "key_uid": "the key exists, and its user id is part of it",
    "origin": "a suite is published, and apt asks its user before it accepts another Origin (apt-secure(8))",
    "label": "a suite is published, and apt asks its user before it accepts another Label (apt-secure(8))",
}


class _State(BaseModel):
    """The configuration file.

    Attributes:
        schema_version: Of this file.
        fingerprint: Of the signing key.
        config: What callers gave.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    fingerprint: str
    config: ArchiveConfig


def make_private_half(layout: Layout, config: ArchiveConfig) -> None:
    """Make key, index and configuration where they are missing; change the configuration where that may be changed.

    Raises:
        InputError: ``config`` changes what must stay as it is.
    """
    if layout.config.is_file():
        _refuse_changes(layout, config)
    # Kept out of git even where nobody thought of it: a repository ignores what is ignored in the directory itself.
    write_if_changed(layout.private / ".gitignore", b"*\n", mode=0o600)
    if not layout.config.is_file():
        key = Signer(layout.gnupg).ensure_key(config.key_uid)
        write_if_changed(layout.key_armored, key.public_armored, mode=0o600)
        write_if_changed(layout.key_binary, key.public_binary, mode=0o600)
        Index(layout.index).create()
        fingerprint = key.fingerprint
    else:
        fingerprint = load(layout)[1].fingerprint
    state = _State(fingerprint=fingerprint, config=config)
    write_if_changed(layout.config, state.model_dump_json(indent=2).encode() + b"\n", mode=0o600)


def make_public_half(layout: Layout) -> None:
    """Make the public directory and put the public key and the front page into it."""
    config, key = load(layout)
    for directory in (layout.public, layout.public / "pool", layout.dists, layout.public / "generations"):
        make_directory(directory)
    write_if_changed(layout.served_key_armored, key.public_armored)
    write_if_changed(layout.served_key_binary, key.public_binary)
    write_if_changed(layout.front_page, front_page(layout, config, key.fingerprint, layout.suites()))


def load(layout: Layout) -> tuple[ArchiveConfig, Key]:
    """Return the configuration and the public key.

    Raises:
        InputError: They are damaged, or written by another version of debtool.
    """
    try:
        state = _State.model_validate_json(layout.config.read_bytes())
        key = Key(state.fingerprint, layout.key_armored.read_bytes(), layout.key_binary.read_bytes())
    except (ValidationError, FileNotFoundError) as error:
        said = " ".join(str(error).split())
        issue = Issue(f"is damaged: {said}", file=layout.config, fix="restore the private half from its backup")
        raise InputError(issue) from error
    return state.config, key


def _refuse_changes(layout: Layout, config: ArchiveConfig) -> None:
    now, _ = load(layout)
    fixed = ["key_uid"]
    if layout.dists.is_dir() and layout.suites():
        fixed += ["origin", "label"]
    issues = [
        Issue(
            f"cannot become {getattr(config, field)!r}, it is {getattr(now, field)!r}",
            file=layout.public,
            field=field,
            rule=_FIXED[field],
            fix="leave it as it is, or make another archive",
        )
        for field in fixed
        if getattr(now, field) != getattr(config, field)
    ]
    if issues:
        raise InputError(*issues)
