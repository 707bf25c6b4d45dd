"""The way onto a machine: the lines that a user pastes to follow a channel."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from debtool.model.stack import TreePackage
from debtool.stack.prove import Claim
from debtool.stack.recipes.keyring import keyring_path, sources_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from debtool.archive.archive import Archive
    from debtool.model.stack import Stack
    from debtool.model.target import Target


def keyring_name(stack: Stack) -> str:
    """Return the full name of the stack's keyring package, or what one would be called."""
    names = [package.name for package in stack.package if package.recipe == "keyring"]
    return stack.full_name(names[0] if names else "archive-keyring")


def main_package(stack: Stack) -> str:
    """Return the full name of what a user installs: the tree, else the last package of the stack."""
    trees = [package.name for package in stack.package if isinstance(package, TreePackage)]
    return stack.full_name(trees[-1] if trees else stack.package[-1].name)


def channel_stanza(stack: Stack, archive: Archive, suite: str, url: str | None) -> str:
    """Return the apt source of a channel: with the same path and Signed-By as the keyring package's.

    Two sources for one archive with different Signed-By stop apt altogether (sources.list(5)).
    """
    keyring = PurePosixPath(keyring_path(keyring_name(stack)))
    return archive.sources_stanza(suite, url=url, keyring=keyring)


def onboarding_lines(stack: Stack, target: Target, archive: Archive, suite: str, url: str | None) -> list[str]:
    """Return shell lines for root: fetch the key, check it by its hash, add the source, install."""
    where = (url or archive.config.url or "").rstrip("/")
    keyring = keyring_path(keyring_name(stack))
    sha256 = hashlib.sha256(archive.key.public_binary).hexdigest()
    lines = [
        f"curl -fsSo {keyring}.new {where}/{archive.key_file}",
        # Pasted into an interactive shell, a failed line does not stop the next: without its key, apt refuses.
        f"echo '{sha256}  {keyring}.new' | sha256sum --check --quiet && mv {keyring}.new {keyring}",
        f"cat > {sources_path(stack.prefix)} <<'END'",
        *channel_stanza(stack, archive, suite, url).rstrip("\n").splitlines(),
        "END",
        "apt-get update",
    ]
    if target.rocm is not None:
        # The keyring brings AMD's source, without which the rest cannot be resolved.
        lines += [f"apt-get install -y {keyring_name(stack)}", "apt-get update"]
    return [*lines, f"apt-get install -y {main_package(stack)}"]


def claim_for(stack: Stack, target: Target, archive: Archive, suite: str, url: str, paths: Sequence[str]) -> Claim:
    """Return what the release in ``suite`` promises to a machine that reaches the archive at ``url``."""
    services = [package.service for package in stack.package if isinstance(package, TreePackage) and package.service]
    return Claim(
        package=main_package(stack),
        prefix=stack.prefix,
        venv=stack.venv,
        stanza=channel_stanza(stack, archive, suite, url),
        lines=onboarding_lines(stack, target, archive, suite, url),
        paths=paths,
        start_timeout=max((service.start_timeout for service in services), default=0),
    )
