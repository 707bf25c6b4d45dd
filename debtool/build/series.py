"""Patches as quilt(1) keeps them: a folder with patch files, and a file ``series`` that lists them in their order."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Where a patch names a file that it changes. A changed line can look the same; that names a file too many, no harm.
_NAMED = re.compile(rb"^(?:---|\+\+\+|Index:|rename from|copy from) ([^\t\r\n]+)", re.MULTILINE)


def read_series(folder: Path) -> list[Path]:
    """Return the patch files of a series in their order.

    Raises:
        InputError: There is no ``series`` in the folder, or a patch that it lists is missing.
    """
    series = folder / "series"
    try:
        lines = series.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        fix = "write one patch file name a line, as quilt does"
        raise InputError(Issue(f"cannot be read: {error.strerror}", file=series, fix=fix)) from None
    names = [line.split("#")[0].strip() for line in lines]
    patches = [folder / name for name in names if name]
    missing = [patch for patch in patches if not patch.is_file()]
    if missing:
        raise InputError(
            *(Issue("patch of the series is missing", file=p, fix=f"add it or edit {series}") for p in missing)
        )
    return patches


def series_digest(patches: Iterable[Path]) -> str:
    """Return the SHA-256 over the contents of ``patches`` in their order."""
    total = hashlib.sha256()
    for patch in patches:
        total.update(hashlib.sha256(patch.read_bytes()).digest())
    return total.hexdigest()


def apply_series(patches: Sequence[Path], tree: Path) -> None:
    """Apply ``patches`` to ``tree`` in their order, or none of them.

    They are tried before on copies of the files that they name: a later patch may need what an earlier one changes, so
    that one patch alone cannot be tried on ``tree`` itself.

    Raises:
        InputError: A patch does not apply exactly; ``tree`` is as it was.
        OutsideError: patch(1) is missing.
    """
    with tempfile.TemporaryDirectory(prefix="debtool-series-") as scratch:
        for name in {name for patch in patches for name in _named_files(patch)}:
            if (tree / name).is_file() and (tree / name).resolve().is_relative_to(tree.resolve()):
                copy = Path(scratch, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, copy)
        for patch in patches:
            apply_patch(patch, Path(scratch))
    for patch in patches:
        apply_patch(patch, tree)


def apply_patch(patch: Path, tree: Path) -> None:
    """Apply ``patch`` (``-p1``) to the files in ``tree``.

    Raises:
        InputError: It does not apply without fuzz; files before the one that failed are changed.
        OutsideError: patch(1) is missing.
    """
    command = ["patch", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "--strip=1", f"--input={patch}"]
    try:
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise OutsideError(Issue("patch is not installed", fix="apt install patch")) from None
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if "FAILED" in line or "saving rejects" in line]
        problem = f"does not apply: {said[0] if said else done.stdout.strip()}"
        raise InputError(Issue(problem, file=patch, fix="refresh the patch for this tree"))


def _named_files(patch: Path) -> set[str]:
    """Return the paths that ``patch`` names, below the tree; none that leave it."""
    names = set()
    for match in _NAMED.finditer(patch.read_bytes()):
        words, git = match[1].decode("utf-8", "surrogateescape").strip(), match[0].startswith((b"rename", b"copy"))
        # git's own headers have no a/ before the path (git-diff(1), "Generating patch text with -p").
        name = words if git else words.partition("/")[2]
        if name and not name.startswith("/") and ".." not in name.split("/"):
            names.add(name)
    return names
