"""What a machine needs to use the archive: a deb822 source."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from debtool.archive.values import ArchiveConfig, Key


def sources_stanza(config: ArchiveConfig, key: Key, suite: str, url: str, keyring: PurePosixPath | None) -> str:
    """Return the text of a ``.sources`` file (sources.list(5), "deb822-style format").

    ``Signed-By`` is the path of the keyring on the machine, or, where ``keyring`` is None, the key itself, which apt
    takes since 2.3.10. The architectures are named, so that a machine with foreign ones is not told that they lack.
    """
    return (
        "Types: deb\n"
        f"URIs: {url.rstrip('/')}/\n"
        f"Suites: {suite}\n"
        f"Components: {config.component}\n"
        f"Architectures: {' '.join(config.architectures)}\n"
        f"Signed-By:{_embedded(key) if keyring is None else f' {keyring}'}\n"
    )


def _embedded(key: Key) -> str:
    return "".join(f"\n {line or '.'}" for line in key.public_armored.decode("ascii").strip().splitlines())
