"""An executed instruction that the CPU does not have, named: by what the reporter and faulthandler wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cxxfilt
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from iced_x86 import Decoder, Formatter, FormatterSyntax

from debtool.audit.emulate import GUEST
from debtool.audit.gate import Fault
from debtool.audit.image import Image
from debtool.audit.layout import NotAudited
from debtool.model.errors import DebtoolError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAPPING = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+ *(.*)")
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')

_CALLERS = (str(GUEST), "/runpy.py", "/importlib/__init__.py")
"""Files whose lines say nothing of the package."""


def read_fault(faults: Path, pid: int, site: Path) -> Fault | None:
    """Return the fault that ended process ``pid``, None if the reporter wrote nothing of it.

    Args:
        faults: The folder with what was written.
        pid: The process.
        site: Paths below it are told relative to it.
    """
    try:
        head, _, code = (faults / str(pid)).read_bytes().partition(b"\ncode ")
    except OSError:
        return None
    first, _, maps = head.partition(b"\n")
    address = int(first.split()[1], 16)
    library, offset = _find_mapping(maps, address)
    # In memory that no file is in (code made at run time), the address is all there is.
    place = _virtual_address(library, offset) if library is not None else address
    code, text = _disassemble(code, address if place is None else place)
    symbol = _symbol(library, place) if library is not None and place is not None else ""
    return Fault(
        address=address if place is None else place,
        code=code.hex(" "),
        text=text,
        symbol=symbol,
        name=_demangled(symbol),
        library=_shorter(str(library), site) if library is not None else "",
        python=tuple(_python_lines(faults / f"{pid}.python", site)),
    )


def _find_mapping(maps: bytes, address: int) -> tuple[Path | None, int]:
    """Return the file that is mapped at ``address``, and the offset in it."""
    for match in map(_MAPPING.fullmatch, maps.splitlines()):
        if match and int(match[1], 16) <= address < int(match[2], 16):
            name = match[4].decode("utf-8", "surrogateescape").strip()
            if name.startswith("/"):
                return Path(name), address - int(match[1], 16) + int(match[3], 16)
    return None, 0


def _virtual_address(file: Path, offset: int) -> int | None:
    """Return where ``file`` wants the byte at ``offset`` to be; None if it is not an ELF file's loaded byte."""
    try:
        with file.open("rb") as stream:
            for segment in ELFFile(stream).iter_segments("PT_LOAD"):
                if segment["p_offset"] <= offset < segment["p_offset"] + segment["p_filesz"]:
                    return int(offset - segment["p_offset"] + segment["p_vaddr"])
    except (OSError, ELFError):
        pass
    return None


def _disassemble(code: bytes, address: int) -> tuple[bytes, str]:
    """Return the bytes of the first instruction of ``code``, and it in Intel syntax."""
    instruction = next(iter(Decoder(64, code, ip=address)), None)
    if instruction is None or not instruction:
        return code, "(bad)"
    return code[: instruction.len], Formatter(FormatterSyntax.INTEL).format(instruction)


def _symbol(file: Path, address: int) -> str:
    """Return the function at ``address`` as ``symbol+0xdistance``, empty if it has no symbol."""
    try:
        with Image(file) as image:
            start = image.functions.containing(address)
            function = None if start is None else image.functions[start]
    except (OSError, NotAudited, DebtoolError):
        return ""
    if function is None or not function.symbol:
        return ""
    return f"{function.symbol}+{address - function.start:#x}"


def _demangled(symbol: str) -> str:
    """Return a symbol with its distance, demangled."""
    base, plus, distance = symbol.rpartition("+")
    try:
        return f"{cxxfilt.demangle(base)}{plus}{distance}"
    except cxxfilt.InvalidName:
        return symbol


def _python_lines(file: Path, site: Path) -> Iterator[str]:
    """Yield the stack that faulthandler wrote, the innermost line first, without those that only call."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for match in map(_FRAME.match, text.splitlines()):
        if match and not match[1].startswith("<frozen") and not match[1].endswith(_CALLERS):
            yield f"{_shorter(match[1], site)}:{match[2]} {match[3]}"


def _shorter(path: str, site: Path) -> str:
    return path.removeprefix(f"{site}/").removeprefix(f"{GUEST.parent}/")
