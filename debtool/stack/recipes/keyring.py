"""The keyring: this archive's key and source, and the other vendors' archives that the target needs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from debtool.deb.control import Control
from debtool.deb.documents import add_text
from debtool.deb.templates import render, template_digest
from debtool.stack.draft import Build, StackDraft, digest

if TYPE_CHECKING:
    from debtool.deb.contents import Contents
    from debtool.deb.control import Script
    from debtool.deb.payload import Sink
    from debtool.model.target import AptSource


@dataclass(frozen=True, slots=True)
class VendorKey:
    """Another vendor's archive with the key that was verified for it.

    Attributes:
        name: The vendor's short name, used in file names.
        source: The archive.
        key: The key, binary OpenPGP.
    """

    name: str
    source: AptSource
    key: bytes


@dataclass(frozen=True, kw_only=True)
class KeyringDraft(StackDraft):
    """Files: the keys in /usr/share/keyrings, the vendors' sources and pins in /etc/apt.

    This archive's own source is no conffile: a user may have pasted the same stanza before (or one for a mirror or
    another channel) at the same path, and dpkg must not ask about that; postinst writes it only where it is missing.
    """

    recipe: ClassVar[str] = "keyring"

    key_bytes: bytes
    stanza: str
    vendors: tuple[VendorKey, ...] = ()

    def inputs(self) -> dict[str, str]:
        """Add the keys, the sources and the maintainer scripts."""
        return {
            **super().inputs(),
            "archive key": digest(self.key_bytes),
            "archive source": digest(self.stanza),
            "vendors": digest(*(f"{v.name}{v.source.model_dump_json()}{v.key.hex()}" for v in self.vendors)),
            "scripts": template_digest("keyring"),
        }

    def emit(self, sink: Sink, build: Build) -> None:  # noqa: ARG002 -- the same files in every build
        """Offer keys, the source to be written, and the vendors' files."""
        _add_bytes(sink, keyring_path(self.name), self.key_bytes)
        add_text(sink, f"/usr/share/{self.name}/{self.stack.prefix}.sources", self.stanza)
        for vendor in self.vendors:
            keyring = keyring_path(f"{self.stack.prefix}-{vendor.name}-keyring")
            _add_bytes(sink, keyring, vendor.key)
            base = f"{self.stack.prefix}-{vendor.name}"
            values = {"vendor": vendor, "keyring": keyring, "package": self.name}
            add_text(sink, f"/etc/apt/sources.list.d/{base}.sources", render("keyring/vendor.sources.j2", **values))
            add_text(sink, f"/etc/apt/preferences.d/{base}", render("keyring/vendor.pref.j2", **values))

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information."""
        values = {
            "package": self.name,
            "shipped": f"/usr/share/{self.name}/{self.stack.prefix}.sources",
            "source": sources_path(self.stack.prefix),
        }
        scripts: dict[Script, str] = {
            "postinst": render("keyring/postinst.j2", **values),
            "postrm": render("keyring/postrm.j2", **values),
        }
        return Control(self.stack_fields(build), scripts=scripts)


def keyring_path(name: str) -> str:
    """Return where the key of keyring ``name`` is on a machine."""
    return f"/usr/share/keyrings/{name}.gpg"


def sources_path(prefix: str) -> str:
    """Return where the archive's own source is on a machine: pasted by the user or written by the package."""
    return f"/etc/apt/sources.list.d/{prefix}.sources"


def _add_bytes(sink: Sink, path: str, data: bytes) -> None:
    sink.add_file(path, io.BytesIO(data), len(data))
