"""Small compiled wheels for tests of audits: what is compiled for which CPU is known, because it is said here."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.workshops import Workshop

TAG = "py3-none-manylinux_2_17_x86_64"
"""A wheel's tag for them: they need no library at all."""

PLAIN = "int answer(int x) { return x + 42; }\n"
"""Every x86-64 CPU executes it."""

AVX2 = """\
typedef int Eight __attribute__((vector_size(32)));
__attribute__((target("avx2"))) void add_eight(int *a, const int *b) { *(Eight *)a += *(const Eight *)b; }
"""
"""An exported function of AVX2 instructions that nothing guards."""


def shared_library(folder: Path, source: str) -> bytes:
    """Return a shared library compiled from the C ``source`` for a CPU of 2003, but where it says otherwise itself."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "native.c").write_text(source)
    command = [
        "cc",
        "-O1",
        "-march=x86-64",
        "-fno-builtin",
        "-nostdlib",
        "-shared",
        "-fPIC",
        "-o",
        "native.so",
        "native.c",
    ]
    subprocess.run(command, cwd=folder, check=True)
    return (folder / "native.so").read_bytes()


def add_gamma(workshop: Workshop, source: str, more: str = "", *, head: str = "") -> Path:
    """Give the stack a baseline and a wheel compiled from ``source``, called gamma, with ``more`` tables; lock it."""
    files = {"gamma/native.so": shared_library(workshop.folder / "native", source)}
    wheel = workshop.wheel("gamma", "3.0", tag=TAG, body=None, files={"gamma/__init__.py": b"", **files})
    workshop.change('targets = ["here"]\n', f'targets = ["here"]\nbaseline = "westmere"\n{head}')
    workshop.change('direct = ["alpha>=1.0"]\n', f'direct = ["alpha>=1.0", "gamma"]\n\n{more}')
    workshop.lock()
    return wheel
