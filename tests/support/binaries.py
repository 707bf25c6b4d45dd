"""Small ELF files, compiled when a test asks for them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from debtool.audit.baselines import find_baseline
from debtool.audit.decode import decode
from debtool.audit.examine import examine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from debtool.audit.baselines import Baseline
    from debtool.audit.decode import Decoded, Range
    from debtool.audit.examine import Examined
    from debtool.audit.image import Image

WESTMERE = find_baseline("westmere")


def compiled(folder: Path, source: str, *options: str, name: str = "sample.so") -> Path:
    """Return ``source`` (C), compiled with gcc and ``options``."""
    path = folder / name
    code = folder / f"{name}.c"
    code.write_text(source)
    subprocess.run(["gcc", "-O1", *options, "-o", path, code], check=True)
    return path


def library(folder: Path, source: str, *options: str, name: str = "sample.so") -> Path:
    """Return ``source`` as a shared library that needs none."""
    return compiled(folder, source, "-shared", "-fPIC", "-nostdlib", *options, name=name)


def tiny_package(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Return a Debian package of ``files``, by path without the leading slash."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: tiny\nVersion: 1\nArchitecture: amd64\nMaintainer: A <a@b.c>\nDescription: x\n y\n"
    )
    for path, contents in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(contents)
    package = folder / "tiny.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(package)]
    subprocess.run(command, check=True, capture_output=True)
    return package


def examined(image: Image, baseline: Baseline = WESTMERE) -> Examined:
    """Examine a file in this process."""

    def here(ranges: Iterable[Range]) -> Iterator[Decoded]:
        return (decode(work, image.code(work.offset, work.size), baseline) for work in ranges)

    return examine(image, here, here)


def by_name(image: Image) -> dict[str, int]:
    """Return where each function that has a name starts."""
    return {function.symbol: start for start, function in image.functions.items() if function.symbol}
