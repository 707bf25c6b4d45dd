"""Compiled files that would hide a patched source, or that a service without write permission must find."""

# ruff: noqa: PLC0415
# What only some runs need is loaded there.
from __future__ import annotations

import contextlib
import sys

from .errors import OutsideError, PatchError

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from .files import Content, Folder

CACHE = "__pycache__"
TIMESTAMP, UNCHECKED = 0, 1
"""Flags of a .pyc: valid while the source's time and size fit; valid whatever the source is (PEP 552)."""


def refresh(folder: Folder, name: str, *, shown: str, suffix: str | None, marker: str) -> None:
    """Leave no bytecode of module file ``name`` that hides its source; never touch a .pyc that a dpkg package owns.

    In a plain copy every .pyc is ours. With ``suffix``, the copy is diverted and only a .pyc beside a diverted one
    (the same name with the suffix) is ours. The one of this interpreter is compiled anew, so that a service that may
    not write starts fast; the others go. A timestamp .pyc of another owner's is ignored by Python by itself, an
    unchecked one is not, and goes. ``shown`` is the path that tracebacks name.
    """
    cache = folder.sub(CACHE)
    if cache is None:
        return
    own = f"{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
    with cache:
        for found in _compiled(cache, name):
            ours = suffix is None or cache.status(found + suffix) is not None
            old = _read(cache, found)
            if not ours and _flags(old) != UNCHECKED:
                continue
            if ours and found == own and old is not None and _compile(folder, name, cache, old, shown, marker):
                continue
            with contextlib.suppress(OSError):
                cache.remove(found)
        if suffix is not None and cache.status(own) is None and cache.status(own + suffix) is not None:
            _compile(folder, name, cache, _read(cache, own + suffix), shown, marker)


def remove_hiding(folder: Folder, name: str) -> bool:
    """Remove the .pyc files that Python believes without looking at the source; say whether there was one."""
    cache = folder.sub(CACHE)
    if cache is None:
        return False
    with cache:
        hiding = [found for found in _compiled(cache, name) if _flags(_read(cache, found)) == UNCHECKED]
        for found in hiding:
            with contextlib.suppress(OSError):
                cache.remove(found)
    return bool(hiding)


def remove_all(folder: Folder, name: str) -> None:
    """Remove every .pyc of a module file."""
    cache = folder.sub(CACHE)
    if cache is not None:
        with cache:
            for found in _compiled(cache, name):
                cache.remove(found)


def _compiled(cache: Folder, name: str) -> list[str]:
    stem = name.removesuffix(".py") + "."
    return [found for found in cache.names() if found.startswith(stem) and found.endswith(".pyc")]


def _read(cache: Folder, name: str) -> Content | None:
    with contextlib.suppress(OSError, PatchError, OutsideError):
        return cache.read(name)
    return None


def _flags(content: Content | None) -> int | None:
    return None if content is None else int.from_bytes(content.data[4:8], "little")


def _compile(folder: Folder, name: str, cache: Folder, like: Content | None, shown: str, marker: str) -> bool:
    """Write this interpreter's timestamp .pyc of a module file; say whether it could."""
    import importlib.util
    import marshal

    with contextlib.suppress(OSError, PatchError, OutsideError, SyntaxError, ValueError, RecursionError):
        source = folder.read(name)
        code = compile(source.data, shown, "exec", dont_inherit=True)
        time, size = int(source.status.st_mtime), source.status.st_size
        header = b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in (TIMESTAMP, time, size))
        data = importlib.util.MAGIC_NUMBER + header + marshal.dumps(code)
        own = f"{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
        cache.replace(own, data, marker=marker, like=like)
        return True
    return False
