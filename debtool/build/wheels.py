"""Wheels that are built here: an sdist without a wheel, and companions compiled against the stack's own torch.

A result is kept below the cache under the hash of what it follows from, beside its log, its journal and its record. The
folder appears by one rename, complete or not at all. What was compiled when a build is stopped is used by the next run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
import tomllib
import zipfile
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from debtool.build.builder import Builder, OutOfRoomError, recorded
from debtool.build.environment import BuildEnvironment, require_compiler, usual_jobs
from debtool.build.journal import Journal
from debtool.build.ninja import remove_torn
from debtool.build.source import fetch_source, only_folder, source_digest, unpack_source
from debtool.build.stopping import StoppedError
from debtool.build.workplace import Workplace
from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, Issue, OutsideError
from debtool.wheel.bytecode import find_interpreter
from debtool.wheel.fetch import FileCache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from debtool.build.drive import Watch
    from debtool.model.stack import Artefact
    from debtool.model.target import Target
    from debtool.wheel.lock import LockedFile

# Part of every key: raised when this module changes what comes out of the same inputs.
_RECIPE = 1
_LEGACY_REQUIRES = ("setuptools", "wheel")
# What build backends call the folder that they compile in; others compile below the source anyway. meson-python
# 0.15 knows no other word, and 0.22, which has ``build-dir``, takes it still.
_BUILD_DIR = {"mesonpy": "builddir", "scikit_build_core": "build-dir"}
_BUILD = ".debtool-build"


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A wheel that was built here.

    Attributes:
        path: The wheel; ``build.log`` and ``record.json`` are beside it.
        sha256: Its hash.
        key: The hash of its inputs.
        reused: Whether it was there already.
    """

    path: Path
    sha256: str
    key: str
    reused: bool


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a built wheel follows from; its hash is the key."""

    name: str
    version: str
    recipe: str
    source: str
    python: str
    requires: tuple[str, ...] = ()
    against: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    check: str | None = None
    revision: int = _RECIPE

    @property
    def key(self) -> str:
        parts = asdict(self)
        if not self.settings:
            del parts["settings"]  # as it was before there were any: what was built stays found
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def build_sdist(
    entry: LockedFile,
    sdist: Path,
    target: Target,
    *,
    wheels: Mapping[str, Path],
    cache: Path,
    variables: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    watch: Watch | None = None,
) -> BuiltWheel:
    """Build a locked sdist into a wheel for ``target``.

    Args:
        entry: The lock's line.
        sdist: The file, fetched.
        target: What the wheel is for.
        wheels: The lock's wheels by name; the build requirements are taken from them where they are among them.
        cache: Where results are kept, below ``built``.
        variables: Variables of its build, such as CFLAGS.
        settings: Settings of its build backend (PEP 517, ``config_settings``).
        watch: Told of each line of output.

    Raises:
        InputError: The sdist cannot be unpacked, or the result is not what the lock says.
        OutsideError: A tool is missing, or the build fails; the issue names the log.
    """
    inputs = _Inputs(
        str(entry.name),
        str(entry.version),
        "sdist",
        f"sha256:{entry.sha256}",
        target.python,
        variables=tuple(sorted((variables or {}).items())),
        settings=tuple(sorted((settings or {}).items())),
    )
    return _build(inputs, sdist, target, None, wheels, cache, watch)


def build_companion(
    artefact: Artefact,
    target: Target,
    *,
    wheels: Mapping[str, Path],
    folder: Path,
    cache: Path,
    watch: Watch | None = None,
    journal: Journal | None = None,
    jobs: int | None = None,
) -> BuiltWheel:
    """Build a companion from its source against the wheel in ``wheels`` that it names.

    Args:
        artefact: The stack's artefact, of kind ``companion``.
        target: What the wheel is for.
        wheels: The lock's wheels by name, with the one that it is compiled against.
        folder: The stack file's folder.
        cache: Where sources and results are kept.
        watch: Told of each line of output.
        journal: The journal of the build that this is a part of; by default it has its own.
        jobs: How many compilers run at once; by default what processors and memory allow.

    Raises:
        InputError: The source or the result is not what the stack says.
        OutsideError: A tool is missing, or the build or its check fails; the issue names the log.
    """
    if artefact.source is None or artefact.against is None:
        raise AssertionError("the model gives every companion a source and something to be compiled against")
    against = wheels[artefact.against]
    source = fetch_source(artefact.source, folder, cache)
    inputs = _Inputs(
        name=artefact.name,
        version=artefact.version,
        recipe="companion",
        source=source_digest(artefact.source, source),
        python=target.python,
        requires=artefact.build_requires,
        against=f"{against.name} sha256:{FileCache.below(cache).sha256(against)}",
        variables=tuple(sorted(artefact.environment.items())),
        check=artefact.check,
    )
    return _build(inputs, source, target, against, wheels, cache, watch, journal, jobs)


def _build(
    inputs: _Inputs,
    source: Path,
    target: Target,
    against: Path | None,
    wheels: Mapping[str, Path],
    cache: Path,
    watch: Watch | None,
    journal: Journal | None = None,
    jobs: int | None = None,
) -> BuiltWheel:
    kept = cache / "built" / inputs.key
    if (kept / "record.json").is_file():
        return _kept(kept, inputs, reused=True)
    interpreter = find_interpreter(target.python)
    # Of other sdists most need none; one that is compiled for a CPU must not leave out what it compiles.
    if against is not None or inputs.variables:
        require_compiler(interpreter)
    folder = (cache / "built").resolve() / f".{inputs.key}.work"
    with Workplace.opened(folder, wait=True) as place:
        if (kept / "record.json").is_file():  # another run, which this one waited for, has built it
            shutil.rmtree(folder)
            return _kept(kept, inputs, reused=True)
        begun = time.monotonic()
        with Journal(place.journal) as own:
            builder = Builder(place, journal or own, jobs or usual_jobs(), watch)
            environment = BuildEnvironment(builder, dict(inputs.variables))
            title = f"{inputs.name} {inputs.version} for {target.name}"
            try:
                with recorded(builder, title) if journal is None else nullcontext():
                    wheel, installed = _compiled(environment, inputs, source, target, interpreter, against, wheels)
            except (StoppedError, OutOfRoomError):
                raise  # the folder stays, and a later run goes on there
            except OutsideError as error:
                raise _with_kept_log(error, place, kept) from None
            except InputError:
                shutil.rmtree(folder)
                raise
        result = place.fresh("result")
        for file in (wheel, place.log, place.journal):
            file.rename(result / file.name)
        record = {
            "inputs": asdict(inputs),
            "wheel": wheel.name,
            "sha256": sha256_of(result / wheel.name),
            "environment": installed,
            "compiler": _compiler(),
            "interpreter": str(interpreter),
            "seconds": round(time.monotonic() - begun, 1),
        }
        (result / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        result.rename(kept)
        shutil.rmtree(folder)
    return _kept(kept, inputs, reused=False)


def _compiled(
    environment: BuildEnvironment,
    inputs: _Inputs,
    source: Path,
    target: Target,
    interpreter: Path,
    against: Path | None,
    wheels: Mapping[str, Path],
) -> tuple[Path, list[str]]:
    """Return the wheel and what its environment holds; what an earlier run has done is not done again."""
    place = environment.builder.workplace
    if not place.has("source", inputs.source):
        unpack_source(source, place.fresh("source"))
        place.mark("source", inputs.source)
    top = only_folder(place.folder / "source")
    requires = [*(inputs.requires or _declared_requires(top)), *([str(against)] if against else [])]
    environment.create(interpreter, requires, wheels.values())
    installed = environment.installed()
    remove_torn(top)
    settings = dict(inputs.settings)
    environment.wheel(top, _kept_build(top, settings) | settings)
    wheel = only_wheel(place.folder / "dist", inputs.name, inputs.version, target)
    if inputs.check is not None:
        environment.try_wheel(wheel, inputs.check)
    return wheel, installed


def _kept_build(top: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the setting by which the source's build backend compiles in a folder that a later run finds again.

    Nothing where the user's ``settings`` name one, by whichever word.
    """
    backend = _build_system(top).get("build-backend", "")
    word = _BUILD_DIR.get(backend.partition(".")[0])
    if word is None or not settings.keys().isdisjoint(_BUILD_DIR.values()):
        return {}
    return {word: str(top / _BUILD)}


def _kept(folder: Path, inputs: _Inputs, *, reused: bool) -> BuiltWheel:
    record: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return BuiltWheel(folder / record["wheel"], record["sha256"], inputs.key, reused)


def _with_kept_log(error: OutsideError, place: Workplace, kept: Path) -> OutsideError:
    """Keep the log alone, beside where the result would be."""
    log = kept.with_name(f"{kept.name}.failed.log")
    if place.log.is_file():
        place.log.rename(log)
    shutil.rmtree(place.folder)
    return OutsideError(
        *(Issue(i.problem, fix=i.fix, file=log if i.file == place.log else i.file) for i in error.issues)
    )


def _declared_requires(top: Path) -> Sequence[str]:
    """Return what the source says it is built with (PEP 518); setuptools, as PEP 517 says, if it says nothing."""
    return [*_build_system(top).get("requires", _LEGACY_REQUIRES)]


def _build_system(top: Path) -> Mapping[str, Any]:
    try:
        project = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(Issue(str(error), file=top / "pyproject.toml", fix="take an intact source")) from None
    found: Mapping[str, Any] = project.get("build-system", {})
    return found


def only_wheel(folder: Path, name: str, version: str, target: Target) -> Path:
    """Return the wheel that a build left in ``folder``.

    Raises:
        InputError: It is not one wheel of ``name`` in ``version``, or one that ``target`` cannot run.
    """
    wheels = sorted(folder.glob("*.whl"))
    fix = "correct the version in the stack, or the build's variables"
    if len(wheels) != 1:
        raise InputError(Issue(f"the build of {name} left {len(wheels)} wheels", fix=fix))
    found, built, _build_tag, tags = parse_wheel_filename(wheels[0].name)
    if (found, built) != (canonicalize_name(name), Version(version)):
        raise InputError(Issue(f"the build of {name} {version} made {wheels[0].name}", fix=fix))
    if not tags & frozenset(target.tags()):
        raise InputError(Issue(f"{wheels[0].name} is not for {target.name}", fix=fix))
    needed = _needed_glibc(wheels[0])
    if needed > tuple(map(int, target.glibc.split("."))):
        problem = f"{wheels[0].name} needs glibc {'.'.join(map(str, needed))}, {target.name} has {target.glibc}"
        raise InputError(Issue(problem, fix=f"build on a machine with glibc {target.glibc} or older"))
    return wheels[0]


def _needed_glibc(wheel: Path) -> tuple[int, ...]:
    """Return the newest ``GLIBC_x.y`` symbol version that the wheel's binaries need."""
    newest: tuple[int, ...] = (0,)
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if not member.endswith(".so"):
                continue
            with archive.open(member) as stream:
                section = ELFFile(stream).get_section_by_name(".gnu.version_r")
                for _library, versions in section.iter_versions() if isinstance(section, GNUVerNeedSection) else ():
                    numbers = (
                        v.name.removeprefix("GLIBC_").split(".") for v in versions if v.name.startswith("GLIBC_")
                    )
                    newest = max([newest, *(tuple(map(int, n)) for n in numbers if all(map(str.isdigit, n)))])
    return newest


def _compiler() -> str | None:
    if shutil.which("c++") is None:
        return None
    result = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False)
    return result.stdout.partition("\n")[0]
