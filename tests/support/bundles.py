"""Device code as clang bundles it, and a real wheel that has some."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from pathlib import Path

HOST = "host-x86_64-unknown-linux-gnu-"


def bundle(*targets: str, kind: str = "hipv4-amdgcn-amd-amdhsa--", code: bytes = b"\x7fELF code") -> bytes:
    """A plain bundle: the host's empty entry, and ``code`` for each of ``targets``."""
    names = [HOST.encode(), *((kind + target).encode() for target in targets)]
    offset = 32 + sum(24 + len(name) for name in names)
    entries = []
    for name in names:
        size = 0 if name == HOST.encode() else len(code)
        entries.append(struct.pack("<QQQ", offset, size, len(name)) + name)
        offset += size
    return b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", len(names)) + b"".join(entries) + code * len(targets)


def compressed(plain: bytes, *, version: int = 2, method: int = 1) -> bytes:
    """A compressed bundle as clang of LLVM 18 (version 1), 19 (2) and 21 (3) writes it."""
    packed = zstandard.compress(plain) if method else zlib.compress(plain)
    sizes = {1: "<IQ", 2: "<IIQ", 3: "<QQQ"}[version]
    total = [8 + struct.calcsize(sizes) + len(packed)] if version > 1 else []
    return b"CCOB" + struct.pack("<HH", version, method) + struct.pack(sizes, *total, len(plain), 0x1234) + packed


def paged(*bundles: bytes) -> bytes:
    """Bundles as the linker places them."""
    return b"".join(each + bytes(-len(each) % 4096) for each in bundles)


def rocm_wheel(cache: Path) -> Path:
    """The real wheel of JAX's plugin for ROCm 6.0, downloaded once into ``cache``."""
    folder = cache / "wheels" / "rocm"
    if not list(folder.glob("jax_rocm60_plugin-0.5.0-cp312-*.whl")):
        options = ["-q", "--no-deps", "--python-version", "3.12", "--only-binary=:all:", "-d", str(folder)]
        command = [sys.executable, "-m", "pip", "download", *options, "jax_rocm60_plugin==0.5.0"]
        subprocess.run(command, check=True)
    (path,) = folder.glob("jax_rocm60_plugin-0.5.0-cp312-*.whl")
    return path
