"""Bytecode for a package, compiled by an interpreter of the target's minor version.

A ``.pyc`` is valid while its source has the time and the size that it records (PEP 552, timestamp-based): the package's
own date and the file's size, so it stays valid as dpkg unpacks it, and a source that somebody patches is noticed.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Self

from uv import find_uv_bin

from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_LENGTH = struct.Struct("<I")
_HEADER = struct.Struct("<III")
_MAGIC_SIZE = 4
_PROBE = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"


def find_interpreter(python: str) -> Path:
    """Return a CPython of the minor version ``python`` (``3.11``): on PATH, in pyenv, known to uv, or this one.

    Raises ``OutsideError``, which says how to get one, if there is none.
    """
    for candidate in _candidates(python):
        if _is_cpython(candidate, python):
            return candidate
    raise OutsideError(
        Issue(
            f"no CPython {python} was found on PATH, in pyenv or by uv; it compiles the packages' bytecode",
            fix=f"uv python install {python}, or apt install python{python}-minimal; or build with --no-bytecode",
            rule="bytecode is valid for one minor version only (PEP 3147)",
        )
    )


def _candidates(python: str) -> Iterator[Path]:
    if found := shutil.which(f"python{python}"):
        yield Path(found)
    yield from sorted(Path.home().glob(f".pyenv/versions/{python}.*/bin/python{python}"), reverse=True)
    uv = subprocess.run(
        [find_uv_bin(), "python", "find", "--no-project", "--no-python-downloads", python],
        capture_output=True,
        text=True,
        check=False,
    )
    if uv.returncode == 0:
        yield Path(uv.stdout.strip())
    yield Path(sys.executable)


def _is_cpython(interpreter: Path, python: str) -> bool:
    # A pyenv shim on PATH exists for versions that are not active too, and fails then.
    try:
        run = subprocess.run(
            [interpreter, "-I", "-S", "-c", _PROBE], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.stdout.split() == ["cpython", python]


class BytecodeCompiler:
    """Worker processes that compile; a context manager, to be used for any number of packages.

    The bytes of a ``.pyc`` depend on the source, its path, the date and the interpreter only: not on the number of
    workers nor on what they compiled before.

    Attributes:
        interpreter: What compiles.
        version: Its full version, such as ``3.11.7``.
    """

    def __init__(self, interpreter: Path, *, workers: int = 2) -> None:
        self.interpreter = interpreter
        self._workers = [_Worker(interpreter) for _ in range(workers)]
        self.version = self._workers[0].version
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="debtool-bytecode")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers; what they have not begun is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.close()

    @property
    def cache_tag(self) -> str:
        """What stands in the names of its ``.pyc`` files, such as ``cpython-311`` (PEP 3147)."""
        major, minor = self.version.split(".")[:2]
        return f"cpython-{major}{minor}"

    def submit(self, source: bytes, path: str, *, mtime: int) -> Future[bytes]:
        """Begin to compile ``source``, which will be installed as ``path`` with the modification time ``mtime``.

        The result is the contents of the ``.pyc``, empty if the source does not compile.
        """
        return self._pool.submit(self._compile, source, path, mtime)

    def _compile(self, source: bytes, path: str, mtime: int) -> bytes:
        worker = self._idle.get()
        try:
            code = worker.compile(source, path)
        finally:
            self._idle.put(worker)
        # PEP 552: magic number, flags 0 (validated by time and size), time and size modulo 2**32.
        return worker.magic + _HEADER.pack(0, mtime & 0xFFFFFFFF, len(source) & 0xFFFFFFFF) + code if code else b""


class _Worker:
    """One interpreter that runs ``bytecode_worker.py``."""

    def __init__(self, interpreter: Path) -> None:
        script = Path(__file__).with_name("bytecode_worker.py")
        # Isolated, so that nothing of the user's environment shows in the result, and with a fixed order of sets.
        self._process = subprocess.Popen(
            [interpreter, "-I", "-S", "-B", "-W", "ignore", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONHASHSEED": "0"},
        )
        self._interpreter = interpreter
        greeting = self._receive()
        self.magic, self.version = greeting[:_MAGIC_SIZE], greeting[_MAGIC_SIZE:].decode("ascii")

    def compile(self, source: bytes, path: str) -> bytes:
        """Return the marshalled code object, empty if there is none."""
        name = path.encode("utf-8")
        try:
            self._pipe(self._process.stdin).write(
                b"".join((_LENGTH.pack(len(name)), name, _LENGTH.pack(len(source)), source))
            )
            self._pipe(self._process.stdin).flush()
        except BrokenPipeError as error:
            raise self._died() from error
        return self._receive()

    def close(self) -> None:
        """End the process, which has nothing left to do."""
        self._process.communicate()

    def _receive(self) -> bytes:
        stream = self._pipe(self._process.stdout)
        head = stream.read(_LENGTH.size)
        data = stream.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
        if len(head) < _LENGTH.size or len(data) < _LENGTH.unpack(head)[0]:
            raise self._died()
        return data

    def _pipe(self, stream: IO[bytes] | None) -> IO[bytes]:
        if stream is None:
            raise self._died()
        return stream

    def _died(self) -> OutsideError:
        return OutsideError(
            Issue(
                f"the interpreter {self._interpreter} ended while it compiled bytecode (exit {self._process.poll()})",
                fix="try it by hand: it must be able to run Python at all; or build with --no-bytecode",
            )
        )
