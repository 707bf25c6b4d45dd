"""Images of throwaway roots: a distribution's own minimal system, made by mmdebstrap and kept for a while."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.apt import ask
from debtool.build.locks import locked
from debtool.build.root import Root
from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What people have on a machine before they add an archive over HTTP(S).
USUAL_PACKAGES = ("ca-certificates", "curl")

_KEYRINGS = {
    "Debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "Ubuntu": "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
}
_DAY = 86400
_MOUNTS = Path("/proc/self/mountinfo")
# A change to how images are made must change this: it is part of their key.
_RECIPE = 1
# invoke-rc.d(8) and deb-systemd-invoke(1) ask this program; 101 is "forbidden": nothing starts by being installed.
_POLICY = "#!/bin/sh\nexit 101\n"


@dataclass(frozen=True, slots=True)
class RootImage:
    """An unpacked system in a cache folder, from which any number of roots are opened.

    Attributes:
        codename: The release that it is.
        folder: Where it is; never written to once made.
        cache: The cache folder that it is in.
    """

    codename: str
    folder: Path
    cache: Path

    @classmethod
    def ensure(
        cls,
        codename: str,
        cache: Path,
        *,
        packages: Sequence[str] = USUAL_PACKAGES,
        components: Sequence[str] = ("main",),
        max_age: float = 7,
    ) -> RootImage:
        """Return the image of a release, made now if the cache has none that fits and is young enough.

        Its packages come from where this machine's own come from if it runs the same release, else from mmdebstrap's
        own default for the release.

        Args:
            codename: The release: ``bookworm``, ``noble`` ….
            cache: A folder for images and instances; made if missing.
            packages: What it has beside the distribution's required packages and apt.
            components: The archive components used where mmdebstrap's default is.
            max_age: Days after which it is made anew, unless a root is open on it.

        Raises:
            OutsideError: The process is not root's, mmdebstrap is missing, or it failed.
        """
        if os.geteuid() != 0:
            raise OutsideError(Issue("throwaway roots are made by root only", fix="run the same command with sudo"))
        if shutil.which("mmdebstrap") is None:
            raise OutsideError(
                Issue("mmdebstrap is missing, which makes throwaway roots", fix="apt-get install mmdebstrap")
            )
        sources = _host_sources(codename)
        key = json.dumps([_RECIPE, codename, sorted(packages), sorted(components), sources])
        folder = cache / "images" / f"{codename}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        image = cls(codename, folder, cache)
        if image._age() > max_age:
            missing = not folder.exists()
            with locked(image._lock, wait=missing) as ours:
                if ours and image._age() > max_age:
                    image._make(sources, packages, components)
        return image

    @contextmanager
    def instance(self, *, copy: bool = False) -> Iterator[Root]:
        """Open a root on this image; it is closed and its changes are removed when the context ends.

        Folders that killed processes left behind are removed here.

        Args:
            copy: Copy the image instead of laying an overlay over it.
        """
        instances = self.cache / "instances"
        instances.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            with locked(instances):
                _sweep(instances)
                folder = Path(tempfile.mkdtemp(prefix=f"{self.codename}-", dir=instances))
                stack.callback(_remove, folder)
                stack.enter_context(locked(folder))
            stack.enter_context(locked(self._lock, shared=True))
            yield stack.enter_context(Root(self.folder / "root", folder, copy=copy))

    @property
    def _lock(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    def _age(self) -> float:
        """Days since it was made; infinite if it was not."""
        try:
            return (time.time() - self.folder.stat().st_mtime) / _DAY
        except FileNotFoundError:
            return float("inf")

    def _make(self, sources: str, packages: Sequence[str], components: Sequence[str]) -> None:
        draft = self.folder.with_name(f"{self.folder.name}.draft")
        _remove(draft)
        draft.mkdir()
        root = draft / "root"
        # The package lists stay: `apt-get update` inside then fetches what has changed only.
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--skip=cleanup/apt/lists"]
        command += ['--aptopt=Acquire::Languages "none"', "--dpkgopt=force-unsafe-io"]
        command += [f"--aptopt={setting}" for setting in _host_proxies()]
        command += [f"--components={','.join(components)}", f"--include={','.join(packages)}", self.codename, str(root)]
        # A private mount namespace: whatever becomes of mmdebstrap, the host is left with no mount of its.
        private = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--"]
        done = subprocess.run(
            [*private, *command, *(["-"] if sources else [])],
            input=sources,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            _remove(draft)
            tail = "\n".join(done.stderr.strip().splitlines()[-20:])
            raise OutsideError(
                Issue(f"mmdebstrap could not make a root of {self.codename}:\n{tail}\n", fix="mend what it names")
            )
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text(_POLICY)
        policy.chmod(0o755)
        _remove(self.folder)
        draft.rename(self.folder)


def _host_sources(codename: str) -> str:
    """Return the distribution's own apt sources (deb822) that this machine uses for ``codename``; "" if it has none.

    Asks apt, which knows of each source what its Release file says; third parties' archives are left out.
    """
    fields = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    listing = ask("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    suites = {codename, f"{codename}-updates", f"{codename}-security"}
    # A mirror that is frozen in time is told to the host's apt like this; it holds for this source alone.
    frozen = 'Acquire::Check-Valid-Until "false";' in ask("apt-config", "dump")
    stanzas = []
    for line in sorted(set(listing.splitlines())):
        origin, uri, suite, component = line.split("|")
        if origin in _KEYRINGS and suite in suites:
            stanza = (
                f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {component}\nSigned-By: {_KEYRINGS[origin]}\n"
            )
            stanzas.append(stanza + ("Check-Valid-Until: no\n" if frozen else ""))
    return "\n".join(stanzas)


def _host_proxies() -> list[str]:
    """Return the lines of this machine's apt configuration that say by which proxy archives are reached."""
    names = ("Acquire::http::Proxy", "Acquire::https::Proxy")
    return [line.rstrip(";") for line in ask("apt-config", "dump").splitlines() if line.startswith(names)]


def _sweep(instances: Path) -> None:
    for folder in instances.iterdir():
        with locked(folder, wait=False) as free:
            if free:
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder of the cache; refuse if this machine has anything mounted in it."""
    if not folder.exists():
        return
    inside = f"{folder.resolve()}/"
    for line in _MOUNTS.read_text().splitlines():
        # proc_pid_mountinfo(5): the fifth field; octal escapes stand for white space.
        mounted = line.split()[4].encode().decode("unicode_escape")
        if f"{mounted}/".startswith(inside):
            raise OutsideError(Issue("something is mounted in a throwaway root", fix=f"umount {mounted}", file=folder))
    while folder.exists():
        # Another process may be sweeping it away at the same time.
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
