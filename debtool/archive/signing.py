"""The archive's key and its signatures, by GnuPG in a home directory of its own.

The key is ed25519 with SHA-512 self-signatures: what apt's verifiers (gpgv, and sqv since apt 2.9.19) accept for years
to come. It has no passphrase: publishing runs unattended, and the private directory's mode protects it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.archive.values import Key
from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SOCKET_PATH_LIMIT = 106
"""Bytes of a socket's path that gpg-agent takes: unix(7) has 108 with the final zero, libassuan wants one to spare."""

_LONGEST_SOCKET = "/S.gpg-agent.browser"

_AGENT_PATIENCE = 5
"""Seconds that an agent gets to end; one that was killed leaves its sockets, which the next one replaces."""


@dataclass(frozen=True, slots=True)
class Signatures:
    """A Release file's two signed forms.

    Attributes:
        inline: The text with its signature (``InRelease``).
        detached: The armored signature alone (``Release.gpg``).
    """

    inline: bytes
    detached: bytes


class Signer:
    """The secret key in one GnuPG home directory."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def ensure_key(self, uid: str) -> Key:
        """Return the key in the home directory, made for ``uid`` if there is none yet."""
        self._home.mkdir(mode=0o700, exist_ok=True)
        with self._gpg_home() as home:
            fingerprint = _secret_fingerprint(home)
            if fingerprint is None:
                how = ("--cert-digest-algo", "SHA512", "--pinentry-mode", "loopback", "--passphrase", "")
                _gpg(home, *how, "--quick-generate-key", uid, "ed25519", "sign", "never")
                fingerprint = _secret_fingerprint(home)
            if fingerprint is None:
                raise OutsideError(
                    Issue("GnuPG made no key", file=self._home, fix="look at what gpg says there by hand")
                )
            armored = _gpg(home, "--armor", "--export-options", "export-minimal", "--export", fingerprint)
            binary = _gpg(home, "--export-options", "export-minimal", "--export", fingerprint)
        return Key(fingerprint, armored, binary)

    def sign(self, text: bytes, fingerprint: str) -> Signatures:
        """Sign a Release file, which ends with a newline, with the key ``fingerprint``."""
        how = ("--local-user", f"{fingerprint}!", "--digest-algo", "SHA512", "--armor")
        with self._gpg_home() as home:
            return Signatures(
                inline=_gpg(home, *how, "--clear-sign", stdin=text),
                detached=_gpg(home, *how, "--detach-sign", stdin=text),
            )

    @contextmanager
    def _gpg_home(self) -> Iterator[str]:
        """Give the home directory under a path short enough for gpg-agent's sockets; end the agent afterwards."""
        with ExitStack() as cleanup:
            home = str(self._home)
            if len(f"{home}{_LONGEST_SOCKET}".encode()) > _SOCKET_PATH_LIMIT:
                alias = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="debtool-gpg-"))
                link = Path(alias, "home")
                link.symlink_to(self._home.absolute())
                home = str(link)
            cleanup.callback(_end_agent, home)
            yield home


def verified_text(signed: Path, keyring: Path, fingerprint: str) -> bytes | None:
    """Return the text of an inline-signed file if the key ``fingerprint`` of ``keyring`` signed it, else None."""
    with tempfile.TemporaryDirectory(prefix="debtool-gpgv-") as scratch:
        text = Path(scratch, "text")
        if not _gpgv(keyring, fingerprint, "--output", str(text), str(signed)):
            return None
        return text.read_bytes()


def verified(signature: Path, text: Path, keyring: Path, fingerprint: str) -> bool:
    """Return whether ``signature`` is the key's over the file ``text``."""
    return _gpgv(keyring, fingerprint, str(signature), str(text))


def _gpgv(keyring: Path, fingerprint: str, *arguments: str) -> bool:
    done = _run(["gpgv", "--status-fd", "1", "--keyring", str(keyring.absolute()), *arguments])
    valid = [line.split()[2] for line in done.stdout.decode().splitlines() if line.startswith("[GNUPG:] VALIDSIG ")]
    return done.returncode == 0 and valid == [fingerprint]


def _end_agent(home: str) -> None:
    """End the agent of ``home``, and wait until it has removed its sockets: it says that it ends before it does."""
    _run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"])
    deadline = time.monotonic() + _AGENT_PATIENCE
    while any(Path(home).glob("S.gpg-agent*")) and time.monotonic() < deadline:
        time.sleep(0.01)


def _secret_fingerprint(home: str) -> str | None:
    listing = _gpg(home, "--with-colons", "--list-secret-keys").decode().splitlines()
    return next((line.split(":")[9] for line in listing if line.startswith("fpr:")), None)


def _gpg(home: str, *arguments: str, stdin: bytes = b"") -> bytes:
    fixed = ["--no-options", "--batch", "--no-tty", "--quiet", "--trust-model", "always", "--no-random-seed-file"]
    done = _run(["gpg", "--homedir", home, *fixed, *arguments], stdin=stdin)
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise OutsideError(Issue(f"gpg failed: {said}", file=Path(home), fix="mend what it names, then run it again"))
    return done.stdout


def _run(command: Sequence[str], *, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=stdin, capture_output=True, check=False)
    except FileNotFoundError as error:
        package = "gpgv" if command[0] == "gpgv" else "gnupg"
        issue = Issue(f"{command[0]} is not installed", fix=f"apt install {package}")
        raise OutsideError(issue) from error
