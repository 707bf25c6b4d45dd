"""What a folder must have to be PyTorch's source, whose it is, and how one is copied."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.build.git import Run
    from debtool.torch.releases import Flavour

_FILES = ("version.txt", "setup.py", "CMakeLists.txt")
_FOLDERS = ("torch", "aten", "c10")
_PROJECT = re.compile(r"^\s*project\(\s*Torch\b", re.MULTILINE | re.IGNORECASE)
# What a build leaves in the tree; a copy of it would send CMake to the folder that it was made for.
_LEFT_OUT = frozenset({"build", "dist", "torch.egg-info"})
_LEFT_OUT_ANYWHERE = frozenset({".git", "__pycache__"})
# The folders that setup.py looks for where there is no .gitmodules (get_submodule_folders, 2.6.0).
_SUBMODULES = ("gloo", "cpuinfo", "onnx", "fbgemm", "cutlass")
_NAMED_AT_MOST = 5


def check_tree(tree: Path, version: Version) -> Flavour:
    """Return whose source ``tree`` is, after all that can be seen without building it was looked at.

    Raises:
        InputError: It is not PyTorch's source, its submodules or Debian's patches are missing, or it is another version
            than ``version``.
    """
    missing = [name for name in _FILES if not (tree / name).is_file()]
    missing += [f"{name}/" for name in _FOLDERS if not (tree / name).is_dir()]
    if "CMakeLists.txt" not in missing and not _PROJECT.search(_text(tree / "CMakeLists.txt")):
        missing.append("project(Torch …) in CMakeLists.txt")
    if missing:
        problem = f"is not PyTorch's source: it lacks {', '.join(missing)}"
        raise InputError(Issue(problem, file=tree, field="--source", fix="give the top folder of PyTorch's source"))
    flavour = flavour_of(tree)
    issues = _submodule_issues(tree) if flavour == "upstream" else _debian_issues(tree)
    if (found := version_of(tree)) != (wanted := Version(version.base_version)):
        problem = f"this is PyTorch {found}, but {wanted} is to be built"
        fix = f"give the source of {wanted}, or ask for --version {found}"
        issues.append(Issue(problem, file=tree / "version.txt", field="--version", fix=fix))
    if issues:
        raise InputError(*issues)
    return flavour


def version_of(tree: Path) -> Version:
    """Return the release that ``version.txt`` says; upstream's sources of a release say ``2.6.0a0``.

    Raises:
        InputError: There is no version in it.
    """
    file = tree / "version.txt"
    try:
        return Version(Version(_text(file).strip()).base_version)
    except InvalidVersion:
        raise InputError(Issue("has no version", file=file, fix="take an intact source")) from None


def flavour_of(tree: Path) -> Flavour:
    """Return ``debian`` for Debian's source package, which builds with the system's libraries, else ``upstream``."""
    control = tree / "debian" / "control"
    ours = control.is_file() and re.match(r"Source:\s*pytorch(-cuda|-rocm)?\s*$", _text(control), re.MULTILINE)
    # Upstream's tree with somebody's debian folder has its own libraries still.
    return "debian" if ours and not (tree / "third_party" / "pybind11").exists() else "upstream"


def copy_tree(source: Path, tree: Path, run: Run) -> None:
    """Copy a source to ``tree``, which is missing, sharing blocks where the file system can; links stay links.

    What git and earlier builds have in it is left out.

    Raises:
        OutsideError: cp failed; the disk is full, for one.
    """
    tree.mkdir(parents=True)
    entries = [str(path) for path in sorted(source.iterdir()) if path.name not in _LEFT_OUT | _LEFT_OUT_ANYWHERE]
    how = ["--recursive", "--no-dereference", "--preserve=mode,timestamps,links", "--reflink=auto"]
    fix = f"make room for a copy of {source}, or mend what cp names"
    run(["cp", *how, "--target-directory", str(tree), "--", *entries], fix, cwd=tree)
    for folder, folders, files in os.walk(tree):
        for name in _LEFT_OUT_ANYWHERE.intersection(folders):
            shutil.rmtree(Path(folder, name))
            folders.remove(name)
        for name in _LEFT_OUT_ANYWHERE.intersection(files):
            Path(folder, name).unlink()


def fingerprint(source: Path) -> str:
    """Return what changes when a file that `copy_tree` copies is written: a hash of all names, sizes and times."""
    total = hashlib.sha256()
    for path in _entries(source):
        status = path.lstat()
        total.update(f"{path}\0{status.st_mode}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="replace"))
    return total.hexdigest()


def _entries(source: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(source):
        here = Path(folder)
        left_out = _LEFT_OUT_ANYWHERE | _LEFT_OUT if here == source else _LEFT_OUT_ANYWHERE
        folders[:] = sorted(set(folders) - left_out)
        yield from (here / name for name in (*folders, *sorted(set(files) - left_out)))


def _submodule_issues(tree: Path) -> list[Issue]:
    modules = tree / ".gitmodules"
    if modules.is_file():
        paths = re.findall(r"^\s*path\s*=\s*(\S+)\s*$", _text(modules), re.MULTILINE)
    else:
        paths = [f"third_party/{name}" for name in _SUBMODULES]
    empty = [path for path in paths if not _has_entries(tree / path)]
    # setup.py looks for this one below a submodule, to see that the clone was recursive (check_submodules, 2.6.0).
    asmjit = [f"third_party/fbgemm/{name}/asmjit" for name in ("third_party", "external")]
    if "third_party/fbgemm" in paths and not empty and not any(_has_entries(tree / path) for path in asmjit):
        empty = [asmjit[0]]
    if not empty:
        return []
    more = f" and {len(empty) - _NAMED_AT_MOST} more" if len(empty) > _NAMED_AT_MOST else ""
    problem = f"submodules are not there: {', '.join(empty[:_NAMED_AT_MOST])}{more}"
    fix = f"git -C {tree} submodule update --init --recursive"
    return [Issue(problem, file=tree, field="--source", rule="setup.py, check_submodules", fix=fix)]


def _debian_issues(tree: Path) -> list[Issue]:
    series = tree / "debian" / "patches" / "series"
    wanted = [line.split("#")[0].split() for line in _text(series).splitlines()] if series.is_file() else []
    applied = tree / ".pc" / "applied-patches"
    if any(wanted) and not applied.is_file():
        fix = "unpack it with dpkg-source -x, or apply them: QUILT_PATCHES=debian/patches quilt push -a"
        return [Issue("Debian's patches are not applied", file=tree, field="--source", fix=fix)]
    return []


def _has_entries(folder: Path) -> bool:
    return folder.is_dir() and any(path.name != ".git" for path in folder.iterdir())


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
