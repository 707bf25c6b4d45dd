"""Compiles Python sources that come in on stdin; run by an interpreter of the target's minor version.

Both directions carry frames: a 4-byte little-endian length and that many bytes. A request is two frames, the path that
the code objects are to name and the source. A reply is one frame, the marshalled code object, empty if the source does
not compile. The first frame of all, sent unasked, is the interpreter's magic number and its version.

This file imports nothing of debtool: it must run on CPython 3.10 and later.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import platform
import signal
import struct
import sys
import types
from typing import BinaryIO

_LENGTH = struct.Struct("<I")


def main() -> None:
    """Serve requests until stdin ends."""
    # Ctrl-C reaches every process of a terminal; who started this one tells the user. Where it is ignored, it stays so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    _send(replies, importlib.util.MAGIC_NUMBER + platform.python_version().encode("ascii"))
    while (path := _receive(requests)) is not None:
        source = _receive(requests)
        if source is None:
            return
        _send(replies, _compile(source, path.decode("utf-8")))


def _compile(source: bytes, path: str) -> bytes:
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, OverflowError, MemoryError):
        return b""
    held = _strings(code)
    data = marshal.dumps(code)
    del held
    return data


def _strings(code: types.CodeType) -> list[str]:
    """Return every string in ``code``.

    marshal marks an object for re-use if its reference count is above one. Strings are interned, so their counts, and
    with them the bytes that marshal writes, depend on what the process did before. Holding each of them once more
    makes every count greater than one, and the bytes a function of the source.
    """
    strings: list[str] = []
    left: list[object] = [code]
    while left:
        item = left.pop()
        if isinstance(item, str):
            strings.append(item)
        elif isinstance(item, (tuple, frozenset)):
            left.extend(item)
        elif isinstance(item, types.CodeType):
            strings += (item.co_filename, item.co_name, getattr(item, "co_qualname", ""))
            strings += item.co_names
            strings += item.co_varnames
            strings += item.co_freevars
            strings += item.co_cellvars
            left.append(item.co_consts)
    return strings


def _receive(stream: BinaryIO) -> bytes | None:
    head = stream.read(_LENGTH.size)
    return stream.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else None


def _send(stream: BinaryIO, data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os._exit(0)  # whoever asked was killed: there is nobody to answer, and nothing to flush
