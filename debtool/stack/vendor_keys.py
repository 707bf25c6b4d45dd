"""Other vendors' keys: taken only with the fingerprint that the target file pins."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from debtool.deb.files import replace_file
from debtool.model.errors import InputError, Issue, OutsideError
from debtool.stack.recipes.keyring import VendorKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.model.target import Target

_TIMEOUT = 60
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


def vendor_keys(target: Target, cache: Path, sources: Mapping[str, str]) -> tuple[VendorKey, ...]:
    """Return the vendors of ``target`` with their keys, fetched once into ``cache``.

    ``sources`` may name a file for a key (``rocm-key``), for machines that cannot reach the vendor.

    Raises:
        InputError: A key has another fingerprint than the target file says, or the file is not there.
        OutsideError: The key cannot be fetched, or gpg is missing.
    """
    if target.rocm is None:
        return ()
    source = target.rocm.source
    kept = cache / "keys" / f"{source.fingerprint}.gpg"
    if kept.is_file() and "rocm-key" not in sources:
        return (VendorKey("rocm", source, kept.read_bytes()),)
    given = sources.get("rocm-key")
    data = _read(Path(given)) if given else _fetch(source.key_uri)
    key = _checked(data, source.fingerprint, given or source.key_uri)
    replace_file(kept, key)
    return (VendorKey("rocm", source, key),)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            Issue(f"cannot be read: {error.strerror}", file=path, fix="correct --source rocm-key=FILE")
        ) from None


def _fetch(uri: str) -> bytes:
    try:
        answer = requests.get(uri, timeout=_TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise OutsideError(
            Issue(
                f"AMD's archive key cannot be fetched from {uri}: {error}",
                fix="check the network, or give the key as a file: --source rocm-key=FILE",
            )
        ) from None
    return answer.content


def _checked(data: bytes, fingerprint: str, origin: str) -> bytes:
    """Return the key in binary form if it is the only one in ``data`` and has ``fingerprint``."""
    with tempfile.TemporaryDirectory(prefix="debtool-key-") as home:
        Path(home).chmod(0o700)
        gpg = ["gpg", "--homedir", home, "--batch", "--no-options", "--quiet"]
        try:
            shown = subprocess.run([*gpg, "--with-colons", "--show-keys"], input=data, capture_output=True, check=False)
            binary = data
            if data.lstrip().startswith(_ARMOR):
                binary = subprocess.run([*gpg, "--dearmor"], input=data, capture_output=True, check=False).stdout
        except FileNotFoundError:
            raise OutsideError(Issue("gpg is not installed", fix="apt install gnupg")) from None
    records = [line.split(":") for line in shown.stdout.decode(errors="replace").splitlines()]
    primary = [after[9] for before, after in itertools.pairwise(records) if before[0] == "pub" and after[0] == "fpr"]
    if primary != [fingerprint]:
        raise InputError(
            Issue(
                f"the key has fingerprint {', '.join(primary) or 'none: it is no OpenPGP key'}",
                file=None if "://" in origin else Path(origin),
                field=origin if "://" in origin else None,
                rule=f"the target file pins {fingerprint}",
                fix="find out why they differ before trusting either; a new key belongs into the target file",
            )
        )
    return binary
