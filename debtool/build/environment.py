"""A build environment: a venv of the target's Python, what the build needs in it, and clean variables."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.build.machine import read_machine
from debtool.build.workplace import digest_of
from debtool.model.errors import Issue, OutsideError
from debtool.wheel.lock import file_identity
from debtool.wheel.pipconfig import PIP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from debtool.build.builder import Builder, CommandFor

# The first date that a zip file can carry (APPNOTE.TXT 4.4.6), a day on so that no time zone falls before it. It is
# the same for every release: the result depends on its inputs alone, and packages have the release's date anyway.
SOURCE_DATE = 315619200
# setuptools lets CFLAGS replace Python's own flags, optimisation included.
_OPTIMISING = "-O2 -DNDEBUG"
# Index wheels carry no debug information either.
_PLAIN = "-g0"
_MEMORY_PER_JOB = 2 * 2**30
NINJA_STATUS = "[%f/%t %e] "
"""How ninja is told to say how far it is."""
_NINJA = """#!/bin/sh
# Build backends call ninja by themselves; this passes it how many jobs may run at once.
PATH=${PATH#*:}
exec ninja -j "$MAX_JOBS" "$@"
"""


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """A venv in a build's folder, where everything of one build is, and the variables that its commands see.

    Attributes:
        builder: What runs its commands.
        variables: The settings of the build, which are all that it sees beside the base variables.
        optimise: Whether the flags that optimise are given; CMake's build types bring their own.
        maps_paths: Whether CFLAGS and CXXFLAGS have `path_map`. A project that stores them would store the path with
            them; its build hands the flag on in another way.
    """

    builder: Builder
    variables: Mapping[str, str]
    optimise: bool = True
    maps_paths: bool = True

    @property
    def work(self) -> Path:
        """The build's folder; its path is not found in the result."""
        return self.builder.workplace.folder

    @property
    def python(self) -> Path:
        """The venv's interpreter."""
        return self.work / "venv" / "bin" / "python"

    def create(self, interpreter: Path, requirements: Iterable[str], wheels: Iterable[Path]) -> None:
        """Make the venv and install ``requirements`` into it: of ``wheels`` where they are among them, else by pip.

        Only wheels are installed: nothing is compiled to compile something else. Where the venv is there already, made
        from the same, nothing is done.

        Raises:
            OutsideError: The interpreter has no venv module, or something cannot be had.
            StoppedError: Somebody asked to stop.
        """
        wanted, files = list(requirements), list(wheels)
        place = self.builder.workplace
        digest = digest_of(str(interpreter), wanted, [file.name for file in files])
        if place.has("environment", digest):
            return
        place.forget("environment")
        place.fresh("venv")
        offered = place.fresh("wheels")
        pins: list[str] = []
        for wheel in files:
            (offered / wheel.name).symlink_to(wheel.resolve())
            name, version = file_identity(wheel.name)
            pins.append(f"{name}=={version}")
        (self.work / "pins.txt").write_text("\n".join([*pins, ""]))
        self.run([str(interpreter), "-m", "venv", "--without-pip", str(self.work / "venv")], "apt install python3-venv")
        if wanted:
            command = [*self._pip("install"), "--quiet", "--no-compile", "--only-binary", ":all:"]
            command += ["--find-links", str(offered), "--constraint", str(self.work / "pins.txt"), *wanted]
            # The user's own variables: pip's configuration, proxies and certificates count here, and only here.
            self.builder.run(command, "check the network and pip's settings (`pip config list`)", cwd=self.work)
        os.sync()  # the stamp must not be on the disk before what it stands for
        place.mark("environment", digest)

    def wheel(self, source: Path, settings: Mapping[str, str]) -> None:
        """Build ``source`` into a wheel below ``dist`` without the index (PEP 517, no further isolation).

        ``settings`` are the build backend's. What an earlier run compiled below ``source`` is used again, as far as the
        backend does that.
        """
        command = [*self._pip("wheel"), "--verbose", "--no-deps", "--no-build-isolation", "--no-index"]
        for name, value in settings.items():
            command += ["--config-settings", f"{name}={value}"]
        command += ["--wheel-dir", str(self.builder.workplace.fresh("dist")), str(source)]
        self.compile(lambda _jobs: command, "read the log", cwd=source)

    def download(self, wheel: Path, also: Sequence[str]) -> list[Path]:
        """Return the wheels that ``wheel`` requires here, and ``also``, fetched through the user's pip."""
        folder = self.builder.workplace.fresh("needs")
        command = [*self._pip("download"), "--quiet", "--only-binary", ":all:", "--dest", str(folder)]
        fix = "check the network and pip's settings (`pip config list`)"
        self.builder.run([*command, str(wheel), *also], fix, cwd=self.work)
        return sorted(path for path in folder.glob("*.whl") if path.name != wheel.name)

    def try_wheel(self, wheel: Path, check: str) -> None:
        """Install a built wheel into the venv and run the Python statement ``check`` there."""
        self.run([*self._pip("install"), "--quiet", "--no-deps", "--no-index", str(wheel)], "read the log")
        self.run([str(self.python), "-I", "-c", check], "the wheel was built but does not work: read the log")

    def installed(self) -> list[str]:
        """Return ``name==version`` of everything in the venv."""
        command = [*self._pip("list"), "--format", "freeze"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    def run(self, command: Sequence[str], fix: str, *, cwd: Path | None = None) -> None:
        """Run ``command`` with these variables alone, as `Builder.run` does."""
        self.builder.run(command, fix, cwd=cwd or self.work, environment=self.environment(self.builder.jobs))

    def compile(self, command: CommandFor, fix: str, *, cwd: Path) -> None:
        """Run what compiles much with these variables alone, as `Builder.compile` does."""
        self.builder.compile(command, fix, cwd=cwd, environment=self.environment)

    def environment(self, jobs: int) -> dict[str, str]:
        """Return all variables that a command sees which may run ``jobs`` jobs at once."""
        c_flags = self.variables.get("CFLAGS", "")
        temporary = self.work / "tmp"
        temporary.mkdir(exist_ok=True)
        path = self.variables.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        return {
            "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs),
            "HOME": str(temporary),
            "LANG": "C.UTF-8",
            "MAX_JOBS": str(jobs),
            "NINJA_STATUS": NINJA_STATUS,
            "PIP_CONFIG_FILE": os.devnull,
            "PYTHONHASHSEED": "0",
            "SOURCE_DATE_EPOCH": str(SOURCE_DATE),
            "TMPDIR": str(temporary),
            **self.variables,
            "CFLAGS": self._flags(c_flags),
            "CXXFLAGS": self._flags(self.variables.get("CXXFLAGS", c_flags)),
            "PATH": f"{self._wrappers()}:{self.python.parent}:{path}",
        }

    def _flags(self, own: str) -> str:
        optimising = _OPTIMISING if self.optimise else ""
        mapping = path_map(self.work) if self.maps_paths else ""
        return " ".join(f"{optimising} {own} {_PLAIN} {mapping}".split())

    def _wrappers(self) -> Path:
        """Return a folder with a ``ninja`` that takes the number of jobs from MAX_JOBS, whoever calls it."""
        folder = self.work / "bin"
        if not (folder / "ninja").exists():
            folder.mkdir(exist_ok=True)
            (folder / "ninja").write_text(_NINJA)
            (folder / "ninja").chmod(0o755)
        return folder

    def _pip(self, subcommand: str) -> list[str]:
        return [*PIP, "--python", str(self.python), subcommand]


def path_map(folder: Path | str) -> str:
    """Return the compilers' flag that keeps the path of a build's folder out of what they make (GCC manual, 3.8)."""
    return f"-ffile-prefix-map={folder}=/build"


def usual_jobs() -> int:
    """Return how many compilers run at once in a build that is not told: at least one, else as memory allows."""
    return max(1, read_machine().jobs(_MEMORY_PER_JOB))


def require_compiler(interpreter: Path) -> None:
    """Raise ``OutsideError`` unless extensions for ``interpreter`` can be compiled here."""
    issues = []
    if shutil.which("c++") is None:
        issues.append(Issue("there is no C++ compiler", fix="apt install build-essential"))
    probe = "import pathlib, sysconfig; print(pathlib.Path(sysconfig.get_path('include'), 'Python.h'))"
    header = subprocess.run([interpreter, "-I", "-c", probe], capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.exists(header):  # noqa: PTH110 -- a string from another interpreter
        issues.append(Issue(f"{interpreter} has no headers ({header})", fix=f"apt install {interpreter.name}-dev"))
    if issues:
        raise OutsideError(*issues)
