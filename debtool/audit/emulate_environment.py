"""A throwaway environment: wheels unpacked once, and put together as site-packages by hard links."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from installer import install
from installer.destinations import SchemeDictionaryDestination

from debtool.model.errors import InputError, Issue, OutsideError
from debtool.wheel.source import CheckedWheel, open_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from installer.records import RecordEntry
    from installer.utils import Scheme

_ASK = """
import importlib.machinery, json, platform, sys
print(json.dumps([sys._base_executable, platform.python_version(), importlib.machinery.EXTENSION_SUFFIXES]))
"""
_ASK_INSTALLED = """
import importlib.metadata, importlib.util, json, os, sys
name = sys.argv[1]
try:
    distribution = importlib.metadata.distribution(name)
    base = str(distribution.locate_file(""))
    files = [str(one) for one in distribution.files or ()]
except importlib.metadata.PackageNotFoundError:
    base, files = "", []
if not files:
    # Debian's packages have no RECORD.
    spec = importlib.util.find_spec(name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        sys.exit(1)
    folder = list(spec.submodule_search_locations)[0]
    base = os.path.dirname(folder)
    for where, _, names in os.walk(folder):
        files += [os.path.relpath(os.path.join(where, one), base) for one in names]
print(json.dumps([base, files]))
"""
_PREFIX = "run-"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython that packages are tried with.

    Attributes:
        program: The program itself: no script and no venv's link.
        version: Its full version.
        suffixes: How the names of its extension modules can end, the most special first.
    """

    program: Path
    version: str
    suffixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What of a package can be imported and loaded.

    Attributes:
        modules: Its modules, a package before what is in it.
        compiled: The files of those of them that are machine code, where it is installed.
        libraries: Its shared libraries that are no modules: their paths where it is installed.
        programs: Its programs that are no scripts.
    """

    modules: tuple[str, ...]
    compiled: tuple[str, ...]
    libraries: tuple[str, ...]
    programs: tuple[Path, ...] = ()

    @property
    def top_level(self) -> tuple[str, ...]:
        """The modules that are in no package."""
        return tuple(name for name in self.modules if "." not in name)


def ask_interpreter(program: Path) -> Interpreter:
    """Return what ``program`` says of itself; raises ``OutsideError`` if it does not run."""
    try:
        run = subprocess.run([program, "-I", "-c", _ASK], capture_output=True, text=True, check=True)
        base, version, suffixes = json.loads(run.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise OutsideError(Issue(f"is no Python that runs: {error}", file=program, fix="name another one")) from error
    return Interpreter(Path(base).resolve(), version, tuple(suffixes))


class _AsItIs(SchemeDictionaryDestination):
    """Files on the disk, scripts included, as the wheel has them."""

    def write_file(
        self,
        scheme: Scheme,
        path: str | os.PathLike[str],
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001 -- the base class has it so
    ) -> RecordEntry:
        return self.write_to_fs(scheme, os.fspath(path), stream, is_executable)


class Workshop:
    """A folder below the cache where wheels are unpacked, each once, and environments are made of them.

    Attributes:
        folder: The folder; it is gone afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unpacked: dict[tuple[Path, Path], Path] = {}

    def unpack(self, wheel: Path, interpreter: Interpreter) -> Path:
        """Return the folder that ``wheel`` is unpacked and compiled in; raises what `open_wheel` raises."""
        key = (wheel, interpreter.program)
        if key not in self._unpacked:
            base = self.folder / "unpacked" / str(len(self._unpacked))
            site = base / "site"
            scheme = {name: str(base / name) for name in ("scripts", "data", "headers")}
            destination = _AsItIs({"purelib": str(site), "platlib": str(site), **scheme}, sys.executable, "posix")
            site.mkdir(parents=True)
            with open_wheel(wheel) as opened:
                install(CheckedWheel(opened), destination, {})
            # Compiled natively once, not by the emulated interpreter. What is no Python (templates, Python 2) is left.
            compile_all = [str(interpreter.program), "-I", "-m", "compileall", "-q", "-j", "2", str(site)]
            subprocess.run(compile_all, capture_output=True, check=False)
            self._unpacked[key] = site
        return self._unpacked[key]

    def environment(self, wheels: Iterable[Path], interpreter: Interpreter) -> Path:
        """Make a venv that has ``wheels`` and nothing else, and return its folder."""
        venv = Path(tempfile.mkdtemp(prefix="venv-", dir=self.folder))
        site = venv / "lib" / f"python{'.'.join(interpreter.version.split('.')[:2])}" / "site-packages"
        for wheel in wheels:
            shutil.copytree(
                self.unpack(wheel, interpreter), site, symlinks=True, copy_function=_link, dirs_exist_ok=True
            )
        program = venv / "bin" / "python"
        program.parent.mkdir()
        program.symlink_to(interpreter.program)
        (venv / "pyvenv.cfg").write_text(
            f"home = {interpreter.program.parent}\ninclude-system-site-packages = false\n", encoding="utf-8"
        )
        return venv


def _link(source: str, target: str) -> None:
    # Two wheels with one file: the later one has it, as with pip.
    Path(target).unlink(missing_ok=True)
    os.link(source, target)


@contextmanager
def workshop(cache: Path) -> Iterator[Workshop]:
    """Yield a workshop below ``cache``; what killed processes left there is removed too."""
    below = cache / "gate" / "work"
    below.mkdir(parents=True, exist_ok=True)
    below = below.resolve()  # as /proc/PID/maps has it
    for left in below.glob(f"{_PREFIX}*"):
        if not Path("/proc", left.name.split("-")[1]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=below, ignore_cleanup_errors=True) as name:
        yield Workshop(Path(name))


def find_contents(site: Path, files: Iterable[str], suffixes: Sequence[str]) -> Contents:
    """Return the modules and libraries among ``files``, which are relative to ``site``.

    A module is a Python file or an extension module whose path is made of identifiers. Programs (``__main__``) are none
    to be imported. A file that ends in .so and is not made for Python is a library.
    """
    modules: set[str] = set()
    compiled: set[str] = set()
    libraries: list[str] = []
    for file in map(PurePosixPath, files):
        if ".." in file.parts or file.is_absolute():
            continue
        if file.suffix == ".py":
            stem = file.name.removesuffix(".py")
        elif ".so" in file.suffixes:
            ending = next((one for one in suffixes if file.name.endswith(one)), None)
            stem = file.name.removesuffix(ending) if ending else ""
            if not stem or (ending == ".so" and not _is_module(site / file, stem)):
                libraries.append(str(file))
                continue
        else:
            continue
        parts = (*file.parent.parts, *(() if stem == "__init__" else (stem,)))
        if parts and stem != "__main__" and all(part.isidentifier() for part in parts):
            modules.add(".".join(parts))
            if file.suffix != ".py":
                compiled.add(str(file))
    order = tuple(sorted(modules, key=lambda name: name.split(".")))
    return Contents(order, tuple(sorted(compiled)), tuple(sorted(libraries)))


def _is_module(file: Path, stem: str) -> bool:
    """Whether an ELF file without Python's tag in its name has the function that makes it a module (PEP 3121)."""
    if not file.is_file():  # an installer's record can tell of files that somebody removed
        return False
    wanted, tail = f"PyInit_{stem}\0".encode(), b""
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            if wanted in tail + block:
                return True
            tail = block[-len(wanted) :]
    return False


def wheel_contents(unpacked: Path, site: Path, interpreter: Interpreter) -> Contents:
    """Return what is in the wheel that is unpacked in ``unpacked`` and installed in ``site``."""
    files = [str(Path(folder, name).relative_to(unpacked)) for folder, _, names in os.walk(unpacked) for name in names]
    contents = find_contents(site, files, interpreter.suffixes)
    return replace(contents, programs=tuple(filter(_is_program, sorted(unpacked.with_name("scripts").glob("*")))))


def _is_program(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def installed_contents(python: Path, name: str, interpreter: Interpreter) -> tuple[Path, Contents]:
    """Return where distribution or package ``name`` is installed for ``python``, and what is in it.

    Raises ``InputError`` if it is not installed.
    """
    run = subprocess.run([python, "-I", "-c", _ASK_INSTALLED, name], capture_output=True, text=True, check=False)
    if run.returncode:
        fix = f"see: {python} -m pip list; or, for one without metadata, the name that is imported"
        raise InputError(Issue(f"{name} is not installed there", file=python, field="--installed", fix=fix))
    base, files = json.loads(run.stdout)
    site = Path(base).resolve()  # as /proc/PID/maps has it
    return site, find_contents(site, files, interpreter.suffixes)
