"""A build environment: a fresh venv of the target's Python, what the build needs in it, and clean variables."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.model.errors import Issue, OutsideError
from debtool.wheel.lock import file_identity
from debtool.wheel.pipconfig import PIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    # Told of each line that a build prints.
    Watch = Callable[[str], None]

# The first date that a zip file can carry (APPNOTE.TXT 4.4.6), a day on so that no time zone falls before it. It is
# the same for every release: the result depends on its inputs alone, and packages have the release's date anyway.
SOURCE_DATE = 315619200
# setuptools lets CFLAGS replace Python's own flags, optimisation included. -g0: index wheels carry no debug
# information either.
_FLAGS = "-O2 -DNDEBUG -g0"
_BYTES_PER_JOB = 2 * 2**30
_LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """A venv below ``work``, where everything of one build is.

    Attributes:
        work: The build's folder; its path is not found in the result.
        variables: The settings of the build, which are all that it sees beside the base variables.
        log: Where its output goes.
        watch: Told of each line.
    """

    work: Path
    variables: Mapping[str, str]
    log: Path
    watch: Watch | None = None

    @property
    def python(self) -> Path:
        """The venv's interpreter."""
        return self.work / "venv" / "bin" / "python"

    def create(self, interpreter: Path, requirements: Iterable[str], wheels: Iterable[Path]) -> None:
        """Make the venv and install ``requirements`` into it: of ``wheels`` where they are among them, else by pip.

        Only wheels are installed: nothing is compiled to compile something else.

        Raises:
            OutsideError: The interpreter has no venv module, or something cannot be had.
        """
        offered = self.work / "wheels"
        offered.mkdir()
        pins: list[str] = []
        for wheel in wheels:
            (offered / wheel.name).symlink_to(wheel.resolve())
            name, version = file_identity(wheel.name)
            pins.append(f"{name}=={version}")
        (self.work / "pins.txt").write_text("\n".join([*pins, ""]))
        self.run([str(interpreter), "-m", "venv", "--without-pip", str(self.work / "venv")], "apt install python3-venv")
        if not (wanted := list(requirements)):
            return
        command = [*self._pip("install"), "--quiet", "--no-compile", "--only-binary", ":all:"]
        command += ["--find-links", str(offered), "--constraint", str(self.work / "pins.txt"), *wanted]
        # The user's own variables: pip's configuration, proxies and certificates count here, and only here.
        self.run(command, "check the network and pip's settings (`pip config list`)", clean=False)

    def wheel(self, source: Path, settings: Mapping[str, str]) -> None:
        """Build ``source`` into a wheel below ``dist`` without the index (PEP 517, no further isolation).

        ``settings`` are the build backend's.
        """
        command = [*self._pip("wheel"), "--verbose", "--no-deps", "--no-build-isolation", "--no-index"]
        for name, value in settings.items():
            command += ["--config-settings", f"{name}={value}"]
        self.run([*command, "--wheel-dir", str(self.work / "dist"), str(source)], "read the log", cwd=source)

    def try_wheel(self, wheel: Path, check: str) -> None:
        """Install a built wheel into the venv and run the Python statement ``check`` there."""
        self.run([*self._pip("install"), "--quiet", "--no-deps", "--no-index", str(wheel)], "read the log")
        self.run([str(self.python), "-I", "-c", check], "the wheel was built but does not work: read the log")

    def installed(self) -> list[str]:
        """Return ``name==version`` of everything in the venv."""
        command = [*self._pip("list"), "--format", "freeze"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    def run(self, command: Sequence[str], fix: str, *, clean: bool = True, cwd: Path | None = None) -> None:
        """Run ``command`` with its output in the log; raise ``OutsideError`` with its last lines if it fails."""
        last: list[str] = []
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"+ {' '.join(command)}\n")
            log.flush()
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=cwd or self.work,
                env=self._environment() if clean else None,
            ) as process:
                for line in process.stdout or ():
                    log.write(line)
                    last = [*last[1 - _LAST_LINES :], line.rstrip()]
                    if self.watch is not None:
                        self.watch(line.rstrip())
        if process.returncode:
            problem = f"{command[0]} ended with {process.returncode}: {' | '.join(line for line in last if line)}"
            raise OutsideError(Issue(problem, file=self.log, fix=fix))

    def _pip(self, subcommand: str) -> list[str]:
        return [*PIP, "--python", str(self.python), subcommand]

    def _environment(self) -> dict[str, str]:
        flags = f"{_FLAGS} -ffile-prefix-map={self.work}=/build"
        c_flags = self.variables.get("CFLAGS", "")
        temporary = self.work / "tmp"
        temporary.mkdir(exist_ok=True)
        return {
            "HOME": str(temporary),
            "LANG": "C.UTF-8",
            "MAX_JOBS": str(_jobs()),
            "PIP_CONFIG_FILE": os.devnull,
            "PYTHONHASHSEED": "0",
            "SOURCE_DATE_EPOCH": str(SOURCE_DATE),
            "TMPDIR": str(temporary),
            **self.variables,
            "CFLAGS": f"{flags} {c_flags}".strip(),
            "CXXFLAGS": f"{flags} {self.variables.get('CXXFLAGS', c_flags)}".strip(),
            "PATH": f"{self.python.parent}:{self.variables.get('PATH', '/usr/local/bin:/usr/bin:/bin')}",
        }


def _jobs() -> int:
    """Return how many compilers may run at once: one a core, two gigabytes each."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(os.cpu_count() or 1, memory // _BYTES_PER_JOB))


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
