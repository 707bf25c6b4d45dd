"""The GPUs that a file has device code for: HIP's fat binaries and AMD GPU code objects.

Sources: clang's "Clang Offload Bundler" (bundles, compressed ones and their entries' names) and LLVM's "User Guide for
AMDGPU Backend" (target identifiers, generic processors, the ELF header's e_flags).
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from debtool.elf.dynamic import MAGIC
from debtool.elf.stream import RestartableStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from debtool.deb.payload import Readable

_SECTION = b".hip_fatbin"
_PLAIN = b"__CLANG_OFFLOAD_BUNDLE__"
_COMPRESSED = b"CCOB"

_PAGE = 4096
"""The alignment of the bundles in a section; between them are zeros."""

_ENTRIES = 4096
_NAME = 4096
_SECTIONS = 2**16
_SECTION_NAMES = 2**20
"""What is believed of a header: entries of a bundle, bytes of an entry's name, sections of a file and their names."""

_ZLIB, _ZSTD = 0, 1
_SIZES = {1: struct.Struct("<IQ"), 2: struct.Struct("<IIQ"), 3: struct.Struct("<QQQ")}
"""What follows magic, version and method: the bundle's size (not in version 1), the inflated size, a hash."""

_PROGBITS = 1

_ELF64 = MAGIC + b"\x02\x01"
"""64 bits, little-endian: HIP has no other hosts, and no other GPUs."""

_ELF_HEADER = struct.Struct("<8xB9xH20xQI6xHHH")

_AMDGPU = 224
_PROCESSORS = (
    "600 601 700 701 702 703 704 - 801 802 803 810 900 902 904 906 908 909 90c 1010 1011 1012 1030 1031 1032 1033"
    " 602 705 805 1035 1034 90a 940 1100 1013 1150 1103 1036 1101 1102 1200 1250 1151 941 942 - 1201 950 -"
    " 9-generic 10-1-generic 10-3-generic 11-generic 1152 - - 1153 12-generic 1251 - - - - 9-4-generic"
)
_MACHINES = dict(enumerate(_PROCESSORS.split(), start=0x20))
"""EF_AMDGPU_MACH, the lowest byte of e_flags: the processor's name without "gfx"."""

_FEATURES = (("sramecc", 10), ("xnack", 8))
_SIGNS = {2: "-", 3: "+"}
"""Where e_flags has a feature since code object V4, and what it says: 0 not supported, 1 any, 2 off, 3 on."""

_FEATURES_SINCE = 2
"""ELFABIVERSION_AMDGPU_HSA_V4; older code objects say less, and are not made any more."""

_GENERIC = {
    "gfx9-generic": "900 902 904 906 909 90c",
    "gfx9-4-generic": "940 941 942 950",
    "gfx10-1-generic": "1010 1011 1012 1013",
    "gfx10-3-generic": "1030 1031 1032 1033 1034 1035 1036",
    "gfx11-generic": "1100 1101 1102 1103 1150 1151 1152 1153",
    "gfx12-generic": "1200 1201",
}
"""Generic processors and those whose hardware runs their code ("Generic processors" in LLVM's guide)."""

_TARGET = re.compile(r"-(gfx[0-9a-z]+(?:-[0-9a-z]+)*(?::[a-z]+[+-])*|amdgcnspirv)$")
"""The target at the end of an entry's name, such as ``hipv4-amdgcn-amd-amdhsa--gfx90a:xnack-``."""


@dataclass(frozen=True, slots=True)
class GpuCode:
    """The device code in one file.

    Attributes:
        bundles: The targets in each bundle, such as ``gfx1030`` and ``gfx90a:xnack-``; each stands for one translation
            unit (or one link, with -fgpu-rdc), so that every one must have what the machine needs.
        objects: The target of a file that is itself a code object.
        unread: What could not be read, each with its place and reason.
        alone: Whether the file is nothing but device code; libraries keep such files for each GPU in one folder.
    """

    bundles: tuple[tuple[str, ...], ...] = ()
    objects: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    alone: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """All targets, sorted, each once."""
        return tuple(sorted({*self.objects, *(target for bundle in self.bundles for target in bundle)}))

    def missing(self, gpu: str, *, generic: bool = True) -> int:
        """Return how many bundles have device code, but none that ``gpu`` runs; see `runs_on`."""
        each = [bundle for bundle in (*self.bundles, self.objects) if bundle]
        return sum(not runs_on(gpu, bundle, generic=generic) for bundle in each)


def runs_on(gpu: str, targets: Iterable[str], *, generic: bool = True) -> bool:
    """Whether the GPU that the runtime reports as ``gpu`` runs code for one of ``targets``.

    A processor runs its own code and that of its generic processor, if ``generic`` (older ROCm cannot load that: 6.4 is
    the first that is known to); never that of its neighbours. A feature that both sides name must agree; one that
    either leaves open is no obstacle.

    >>> runs_on("gfx1030", ["gfx1032", "gfx906:xnack-"])
    False
    >>> runs_on("gfx1030", ["gfx10-3-generic"])
    True
    >>> runs_on("gfx90a:xnack+", ["gfx90a:xnack-"])
    False
    """
    processor, features = _parts(gpu)
    for target in targets:
        name, wanted = _parts(target)
        served = name == processor or (generic and processor.removeprefix("gfx") in _GENERIC.get(name, "").split())
        if served and all(features.get(feature, sign) == sign for feature, sign in wanted.items()):
            return True
    return False


def _parts(target: str) -> tuple[str, dict[str, str]]:
    name, *features = target.split(":")
    return name, {feature[:-1]: feature[-1:] for feature in features}


def read_gpu_targets(reopen: Callable[[], Readable], size: int) -> GpuCode | None:
    """Return the device code in a file of ``size`` bytes; ``reopen`` gives its contents from the start at each call.

    The file is a library or program with a ``.hip_fatbin`` section, a code object, or a bundle; None if it is none of
    these. Memory is constant, bundles are decompressed no further than their headers, and a compressed file is inflated
    three times at most.
    """
    stream = RestartableStream(reopen, size)
    head = stream.read(_ELF_HEADER.size)
    if head.startswith((_PLAIN, _COMPRESSED)):
        return replace(_read_bundles(stream, 0, size), alone=True)
    if len(head) < _ELF_HEADER.size or not head.startswith(_ELF64):
        return None
    abi, machine, sections, flags, entry, count, names = _ELF_HEADER.unpack(head)
    if machine == _AMDGPU:
        return _code_object(flags, abi)
    place = _find_section(stream, sections, entry, count, names)
    if place is None:
        return None
    start, length = place
    if start + length > size:
        return GpuCode(unread=(f"the {_SECTION.decode()} section reaches beyond the file's end",))
    return _read_bundles(stream, start, length)


def _code_object(flags: int, abi: int) -> GpuCode:
    name = _MACHINES.get(flags & 0xFF, "-")
    if name == "-":
        return GpuCode(unread=(f"a code object for an unknown processor, e_flags 0x{flags:x}",), alone=True)
    features = ""
    if abi >= _FEATURES_SINCE:
        values = ((feature, flags >> bit & 3) for feature, bit in _FEATURES)
        features = "".join(f":{feature}{_SIGNS[value]}" for feature, value in values if value in _SIGNS)
    return GpuCode(objects=(f"gfx{name}{features}",), alone=True)


def _find_section(stream: RestartableStream, offset: int, entry: int, count: int, names: int) -> tuple[int, int] | None:
    """Return offset and size of the section that has the bundles, None if there is none."""
    header = struct.Struct("<IIQQQQII16x")
    if not offset or entry != header.size:
        return None
    stream.seek(offset)
    table = stream.read(header.size * max(count, 1))
    if not count and len(table) == header.size:
        # More sections than e_shnum can say: the first one says it (gABI, "ELF Header").
        _, _, _, _, _, count, link, _ = header.unpack(table)
        names = link if names == 0xFFFF else names  # noqa: PLR2004 -- SHN_XINDEX
        table += stream.read(header.size * (min(max(count, 1), _SECTIONS) - 1))
    sections = list(header.iter_unpack(table[: len(table) // header.size * header.size]))
    if names >= len(sections):
        return None
    _, _, _, _, start, length, _, _ = sections[names]
    stream.seek(start)
    text = stream.read(min(length, _SECTION_NAMES))
    for name, kind, _, _, place, extent, _, _ in sections:
        if kind == _PROGBITS and text.startswith(_SECTION + b"\0", name):
            return place, extent
    return None


class _DamagedError(Exception):
    """A bundle cannot be read; says why."""


def _read_bundles(stream: RestartableStream, start: int, size: int) -> GpuCode:
    """Return what the bundles in a part of a file have."""
    bundles: list[tuple[str, ...]] = []
    part = _Part(stream, start, start + size)
    unsized = False
    while part.left:
        begin = part.position
        try:
            magic = part.exactly(min(len(_COMPRESSED), part.left))
            if magic == _COMPRESSED:
                targets, unsized = _compressed_bundle(part, begin)
                bundles.append(targets)
            elif _PLAIN.startswith(magic):
                part.expect(_PLAIN[len(magic) :])
                entries = list(_entries(part.read))
                part.skip_to(max([part.position, *(begin + offset + length for offset, length, _ in entries)]))
                bundles.append(_targets(entries))
                unsized = False
            elif magic.strip(b"\0") and not unsized:
                raise _DamagedError("there is no bundle")  # noqa: TRY301 -- told like all other damage
        except (_DamagedError, zlib.error, zstandard.ZstdError) as error:
            return GpuCode(tuple(bundles), unread=(f"at byte {begin}: {error}",))
        part.skip_to(min(part.position + -(part.position - start) % _PAGE, part.end))
    return GpuCode(tuple(bundles))


class _Part:
    """A part of a file, read in ascending order."""

    def __init__(self, stream: RestartableStream, position: int, end: int) -> None:
        self._stream = stream
        self._start = position
        self.position = position
        self.end = end

    @property
    def left(self) -> int:
        return self.end - self.position

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, but never from two pages: a reader ahead must not take the next bundle's."""
        self._stream.seek(self.position)
        data = self._stream.read(min(size, self.left, _PAGE - (self.position - self._start) % _PAGE))
        self.position += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        return _exactly(self.read, size)

    def expect(self, data: bytes) -> None:
        if self.exactly(len(data)) != data:
            raise _DamagedError("there is no bundle")

    def skip_to(self, position: int) -> None:
        if position > self.end:
            raise _DamagedError("the bundle reaches beyond its section")
        self.position = position

    def until(self, end: int) -> _Part:
        """Return this part up to ``end``."""
        part = _Part(self._stream, self._start, end)
        part.position = self.position
        return part


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = read(size - len(data))
        if not more:
            raise _DamagedError("the bundle is cut off")
        data += more
    return bytes(data)


def _entries(read: Callable[[int], bytes]) -> Iterator[tuple[int, int, str]]:
    """Yield offset, size and name of each entry of a bundle, whose magic has been read."""
    (count,) = struct.unpack("<Q", _exactly(read, 8))
    if count > _ENTRIES:
        raise _DamagedError(f"the bundle has {count} entries")
    for _ in range(count):
        offset, size, length = struct.unpack("<QQQ", _exactly(read, 24))
        if length > _NAME:
            raise _DamagedError(f"an entry's name has {length} bytes")
        yield offset, size, _exactly(read, length).decode("latin-1")


def _targets(entries: Iterable[tuple[int, int, str]]) -> tuple[str, ...]:
    """Return the targets of a bundle's entries: not the host's, nor empty ones; names of unknown form as they are."""
    names = [name for _, size, name in entries if size and not name.startswith("host-")]
    return tuple(match[1] if (match := _TARGET.search(name)) else name for name in names)


def _compressed_bundle(part: _Part, begin: int) -> tuple[tuple[str, ...], bool]:
    """Return the targets of the compressed bundle whose magic has been read, and whether it hides where it ends.

    ``part`` is left behind the bundle, or somewhere inside of one without a size: the next one is then at the next page
    that begins like a bundle.
    """
    version, method = struct.unpack("<HH", part.exactly(4))
    layout = _SIZES.get(version)
    if layout is None:
        raise _DamagedError(f"a compressed bundle of version {version}")
    *sizes, _, _ = layout.unpack(part.exactly(layout.size))
    end = begin + sizes[0] if sizes else part.end
    if not part.position <= end <= part.end:
        raise _DamagedError("the bundle reaches beyond its section")
    data = part.until(end)
    read = _inflated(data, method)
    if _exactly(read, len(_PLAIN)) != _PLAIN:
        raise _DamagedError("what is compressed is no bundle")
    targets = _targets(_entries(read))
    part.skip_to(end if sizes else data.position)
    return targets, not sizes


def _inflated(data: _Part, method: int) -> Callable[[int], bytes]:
    if method == _ZSTD:
        return (
            zstandard.ZstdDecompressor()
            .stream_reader(cast("BinaryIO", data), read_size=_PAGE, read_across_frames=True)
            .read
        )
    if method == _ZLIB:
        return partial(_inflate, zlib.decompressobj(), data)
    raise _DamagedError(f"a bundle is compressed by method {method}")


def _inflate(inflater: zlib._Decompress, data: _Part, size: int) -> bytes:
    """Return up to ``size`` of the bytes that come next, none at the end."""
    inflated = b""
    while not inflated and not inflater.eof:
        packed = inflater.unconsumed_tail or data.read(_PAGE)
        inflated = inflater.decompress(packed, size)
        if not packed:
            break
    return inflated
