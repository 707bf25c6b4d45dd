"""A wheel as the files of a package: PyPA installer's install, with the package as its destination."""

from __future__ import annotations

import inspect
import io
from collections import deque
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from typing import TYPE_CHECKING

from installer import install
from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import RecordEntry
from installer.scripts import Script

from debtool.model.errors import InputError, Issue
from debtool.wheel.source import CheckedWheel, SizedStream

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable
    from concurrent.futures import Future
    from typing import BinaryIO

    from installer.scripts import ScriptSection
    from installer.utils import Scheme

    from debtool.deb.lintian import Trait
    from debtool.deb.payload import Readable, Sink
    from debtool.wheel.bytecode import BytecodeCompiler
    from debtool.wheel.source import Wheel

_INSTALLER = b"dpkg\n"
"""The tool that installs the files and can remove them ("Recording installed projects", The INSTALLER file)."""

_BYTECODE_LAG = 1024
"""A .pyc is written this many sources after its own: compiling goes on beside packing, in bounded memory, and the order
of the files does not depend on how fast the compilers are."""

_SCRIPT_LIMIT = 16 * 2**20
"""Bytes of a script whose first line must be replaced."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a wheel go (binary distribution format, "Spreading").

    Attributes:
        site_packages: For modules: purelib and platlib alike.
        scripts: For scripts and the launchers of entry points.
        headers: For C headers, in a folder of the distribution's name.
        data: For everything below the prefix.
        interpreter: What scripts name in their first line.
    """

    site_packages: str
    scripts: str
    headers: str
    data: str
    interpreter: str

    @classmethod
    def venv(cls, prefix: str, python: str) -> Layout:
        """Return the layout of a virtual environment at ``prefix`` for a minor version of Python.

        >>> Layout.venv("/usr/lib/x/venv", "3.11").site_packages
        '/usr/lib/x/venv/lib/python3.11/site-packages'
        """
        return cls(
            site_packages=f"{prefix}/lib/python{python}/site-packages",
            scripts=f"{prefix}/bin",
            headers=f"{prefix}/include/site/python{python}",
            data=prefix,
            interpreter=f"{prefix}/bin/python3",
        )

    def installed(self, path: str, data_dir: str) -> str:
        """Return where a wheel's file for purelib or platlib goes; ``path`` is its path in the wheel.

        >>> Layout.venv("/usr/lib/x/venv", "3.11").installed("x-1.data/platlib/x.so", "x-1.data")
        '/usr/lib/x/venv/lib/python3.11/site-packages/x.so'
        """
        for scheme in ("purelib", "platlib"):
            path = path.removeprefix(f"{data_dir}/{scheme}/")
        return f"{self.site_packages}/{path}"


class WheelPayload:
    """The files of a wheel, as ``Payload``.

    No RECORD is installed: dpkg keeps the list of files, and without RECORD pip and uv refuse to remove or replace what
    dpkg owns ("Recording installed projects", The RECORD file; Debian's own packages do the same). What reads RECORD to
    find the import names of a distribution, ``importlib.metadata.packages_distributions``, finds them in
    ``top_level.txt``, which is added where the wheel has none.

    Attributes:
        uncompiled: Sources of the last `emit` that the target's Python cannot compile, which is common among templates.
    """

    def __init__(
        self,
        wheel: Wheel,
        layout: Layout,
        *,
        mtime: int,
        compiler: BytecodeCompiler | None = None,
        requested: bool = False,
        exclude: Collection[str] = (),
    ) -> None:
        """Describe the files.

        Args:
            wheel: An open wheel.
            layout: Where its parts go.
            mtime: The modification time that the package's files will have; bytecode records it.
            compiler: What makes bytecode; None leaves it out.
            requested: Whether the stack names the distribution, rather than needing it for another (REQUESTED).
            exclude: Patterns (fnmatch) of the wheel's files, as RECORD has their paths, that are left out.
        """
        self._wheel = wheel
        self._layout = layout
        self._mtime = mtime
        self._compiler = compiler
        self._requested = requested
        self._exclude = exclude
        self.uncompiled: tuple[str, ...] = ()

    def emit(self, sink: Sink) -> None:
        """Offer every file (see ``Payload``); raises ``InputError`` where the wheel turns out to be damaged."""
        destination = _Destination(sink, self._layout, self._wheel.name, self._mtime, self._compiler)
        metadata = {"INSTALLER": _INSTALLER}
        if self._requested:
            metadata["REQUESTED"] = b""
        if f"{self._wheel.dist_info}/top_level.txt" not in self._wheel.archive.members:
            metadata["top_level.txt"] = "".join(f"{name}\n" for name in import_names(self._wheel)).encode()
        try:
            install(CheckedWheel(self._wheel, self._exclude), destination, metadata)
        except (InstallerError, AssertionError, ConfigParserError) as error:
            problem = f"the wheel cannot be installed: {str(error) or 'an entry point is malformed'}"
            raise InputError(
                Issue(problem, fix="take the wheel from another source, or have it rebuilt", file=self._wheel.path)
            ) from error
        self.uncompiled = tuple(destination.uncompiled)


def traits(wheel: Wheel, *, bytecode: bool) -> frozenset[Trait]:
    """Return what the package of ``wheel``, with or without ``bytecode``, holds that lintian must be told about."""
    found: set[Trait] = set()
    if not wheel.pure:
        found.add("elf")
    if bytecode:
        found.add("bytecode")
    if "entry_points.txt" in wheel.dist_info_files() or any(
        name.startswith(f"{wheel.data_dir}/scripts/") for name in wheel.archive.members
    ):
        found.add("scripts")
    return frozenset(found)


def import_names(wheel: Wheel) -> list[str]:
    """Return the top-level names that the wheel makes importable, sorted."""
    roots = (f"{wheel.data_dir}/purelib/", f"{wheel.data_dir}/platlib/")
    names = set()
    for member in wheel.archive:
        path = member.name
        for root in roots:
            path = path.removeprefix(root)
        if path.startswith((f"{wheel.dist_info}/", f"{wheel.data_dir}/")):
            continue
        top, below, _ = path.partition("/")
        name = top if below else inspect.getmodulename(top)
        if name is not None and name.isidentifier() and inspect.getmodulename(path) is not None:
            names.add(name)
    return sorted(names)


class _Destination(WheelDestination):
    """Offers what ``installer.install`` writes to a sink."""

    def __init__(self, sink: Sink, layout: Layout, name: str, mtime: int, compiler: BytecodeCompiler | None) -> None:
        self._sink = sink
        self._layout = layout
        self._folders = {
            "purelib": layout.site_packages,
            "platlib": layout.site_packages,
            "scripts": layout.scripts,
            "headers": f"{layout.headers}/{name}",
            "data": layout.data,
        }
        self._mtime = mtime
        self._compiler = compiler
        self._compiling: deque[tuple[str, Future[bytes]]] = deque()
        self.uncompiled: list[str] = []

    def write_script(self, name: str, module: str, attr: str, section: ScriptSection) -> RecordEntry:
        """Add the launcher of an entry point."""
        if "/" in name:
            problem = f"the entry point {name!r} is not the name of a file"
            raise InputError(Issue(problem, fix="have the wheel rebuilt", field="entry_points.txt"))
        _, launcher = Script(name, module, attr, section).generate(self._layout.interpreter, "posix")
        self._sink.add_file(f"{self._layout.scripts}/{name}", io.BytesIO(launcher), len(launcher), mode=0o755)
        return RecordEntry(name, None, None)

    def write_file(
        self,
        scheme: Scheme,
        path: str | os.PathLike[str],
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001
    ) -> RecordEntry:
        """Add one file of the wheel, or one that installing adds to .dist-info."""
        relative = str(path)
        target = f"{self._folders[scheme]}/{relative}"
        contents: Readable = stream
        if isinstance(stream, SizedStream):
            size = stream.size
        else:
            data = stream.read()
            contents, size = io.BytesIO(data), len(data)
        if scheme == "scripts":
            contents, size = _with_interpreter(contents, size, self._layout.interpreter)
            is_executable = True
        elif self._compiler is not None and relative.endswith(".py") and scheme in ("purelib", "platlib"):
            source = contents.read()
            self._compiling.append((target, self._compiler.submit(source, target, mtime=self._mtime)))
            contents = io.BytesIO(source)
        self._sink.add_file(target, contents, size, mode=0o755 if is_executable else 0o644)
        self._write_bytecode(_BYTECODE_LAG)
        return RecordEntry(relative, None, None)

    def finalize_installation(
        self,
        scheme: Scheme,  # noqa: ARG002
        record_file_path: str,  # noqa: ARG002
        records: Iterable[tuple[Scheme, RecordEntry]],  # noqa: ARG002
    ) -> None:
        """Add the rest of the bytecode; RECORD is left out (see `WheelPayload`)."""
        self._write_bytecode(0)

    def _write_bytecode(self, lag: int) -> None:
        """Add the .pyc files of all but the last ``lag`` sources."""
        while self._compiler is not None and len(self._compiling) > lag:
            source, future = self._compiling.popleft()
            data = future.result()
            if not data:
                self.uncompiled.append(source)
                continue
            folder, _, name = source.rpartition("/")
            path = f"{folder}/__pycache__/{name.removesuffix('.py')}.{self._compiler.cache_tag}.pyc"
            self._sink.add_file(path, io.BytesIO(data), len(data))


class _Chained:
    """Bytes that were read ahead, then the rest of their stream."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._rest.read(size)
        if size < 0:
            size = len(self._head)
            return self._take(size) + self._rest.read()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken, self._head = self._head[:size], self._head[size:]
        return taken


def _with_interpreter(stream: Readable, size: int, interpreter: str) -> tuple[Readable, int]:
    """Return a script that names ``interpreter`` if its first line was a placeholder, and its size.

    The placeholder is ``#!python`` or ``#!pythonw`` (binary distribution format, "Recommended installer features").
    """
    head = stream.read(len(b"#!python"))
    if head != b"#!python":
        return _Chained(head, stream), size
    if size > _SCRIPT_LIMIT:
        problem = f"a script of {size} bytes has a first line to replace"
        raise InputError(Issue(problem, fix="have the wheel rebuilt", rule=f"scripts have up to {_SCRIPT_LIMIT} bytes"))
    _, _, body = stream.read().partition(b"\n")
    script = f"#!{interpreter}\n".encode() + body
    return io.BytesIO(script), len(script)
