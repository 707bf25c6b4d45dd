"""Source code to build from: fetched once into the cache, checked against what the stack pins, and unpacked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from debtool.build.debian_source import fetch_orig
from debtool.model.errors import InputError, Issue, OutsideError
from debtool.wheel.download import check_hash, download

if TYPE_CHECKING:
    from debtool.model.stack import Source


def fetch_source(source: Source, folder: Path, cache: Path) -> Path:
    """Return the source archive or the source folder that ``source`` names.

    Args:
        source: One kind of source; an archive has the SHA-256 that it pins.
        folder: What a relative ``path`` is relative to.
        cache: Where downloads are kept: ``sources/<sha256>/<file>`` and ``trees/<commit>/``.

    Raises:
        InputError: The file has another hash, or there is nothing at ``path``.
        OutsideError: It cannot be fetched.
    """
    if source.path is not None:
        path = (folder / source.path).resolve()
        if not path.exists():
            raise InputError(Issue("there is no such source", file=path, fix="correct the source's path"))
        if source.sha256 is not None:
            _check(path, source.sha256)
        return path
    if source.git is not None and source.commit is not None:
        return fetch_commit(source.git, source.commit, cache)
    if source.sha256 is None:
        raise AssertionError("the model gives every url and debian source a hash")
    kept = sorted((cache / "sources" / source.sha256).glob("*"))
    if kept:
        return kept[0]
    (cache / "sources").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache / "sources") as scratch:
        if source.debian is not None and source.suite is not None and source.version is not None:
            archive = fetch_orig(source.debian, source.suite, source.version, Path(scratch))
        else:
            archive = Path(scratch, Path(urlsplit(str(source.url)).path).name or "source")
            download(str(source.url), archive, fix="check the network and the address")
        _check(archive, source.sha256)
        destination = cache / "sources" / source.sha256 / archive.name
        destination.parent.mkdir(exist_ok=True)
        return archive.replace(destination)


def source_digest(source: Source, fetched: Path) -> str:
    """Return what identifies a source among a build's inputs: its hash or commit, else the hash of its contents."""
    if source.sha256 is not None:
        return f"sha256:{source.sha256}"
    if source.commit is not None:
        return f"git:{source.commit}"
    total = hashlib.sha256()
    files = [fetched] if fetched.is_file() else sorted(path for path in fetched.rglob("*") if path.is_file())
    for path in files:
        total.update(f"{path.relative_to(fetched.parent)}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return f"contents:{total.hexdigest()}"


def unpack_source(fetched: Path, into: Path) -> Path:
    """Put a source archive's or folder's files below ``into`` and return the top folder of the source.

    Raises:
        InputError: The archive cannot be read, or a member would land outside ``into``.
    """
    if fetched.is_dir():
        return Path(shutil.copytree(fetched, into / "source", symlinks=True, ignore=shutil.ignore_patterns(".git")))
    if fetched.suffix == ".zip":
        command = [sys.executable, "-m", "zipfile", "--extract", str(fetched), str(into)]
    else:
        # GNU tar strips leading "/" and refuses "..", and links are made last, so that no member goes through one.
        command = [
            "tar",
            "--extract",
            "--no-same-owner",
            "--no-same-permissions",
            f"--file={fetched}",
            f"--directory={into}",
        ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        said = result.stderr.strip().splitlines()
        problem = f"cannot be unpacked: {said[-1] if said else command[0]}"
        raise InputError(Issue(problem, file=fetched, fix="give an intact tar or zip archive"))
    return only_folder(into)


def only_folder(folder: Path) -> Path:
    """Return the one folder in ``folder`` if it holds nothing else, as archives of sources do; else ``folder``."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def fetch_commit(repository: str, commit: str, cache: Path) -> Path:
    """Return a folder with the files of ``commit`` of the git ``repository``, fetched once into ``cache``.

    Raises:
        OutsideError: git is missing, or the repository or commit cannot be had.
    """
    destination = cache / "trees" / commit
    if destination.is_dir():
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".fetch-") as scratch:
        work = Path(scratch, "tree")
        work.mkdir()
        try:
            _git("init", "--quiet", cwd=work)
            _git("fetch", "--quiet", "--depth=1", "--", repository, commit, cwd=work)
            _git("checkout", "--quiet", "--detach", commit, cwd=work)
        except FileNotFoundError:
            raise OutsideError(Issue("git is not installed", fix="apt install git")) from None
        except subprocess.CalledProcessError as error:
            said = (error.stderr or "").strip().splitlines()
            raise OutsideError(
                Issue(
                    f"commit {commit} cannot be fetched from {repository}: {said[-1] if said else 'git failed'}",
                    fix="check the network and the address, or give a local copy: --source NAME=PATH (or PATH@COMMIT)",
                )
            ) from None
        shutil.rmtree(work / ".git")
        try:
            work.rename(destination)
        except OSError:
            if not destination.is_dir():  # another run that fetched the same commit may have been first
                raise
    return destination


def _git(*arguments: str, cwd: Path) -> None:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(["git", *arguments], cwd=cwd, env=environment, check=True, capture_output=True, text=True)


def _check(file: Path, sha256: str) -> None:
    fix = "find out why it differs; then correct the source's sha256"
    check_hash(file, sha256, "the stack", field="source.sha256", fix=fix)
