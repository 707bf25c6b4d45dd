"""One build of PyTorch, step by step; a step that is done is not done again, however often the build is begun anew."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debtool.build.builder import GO_ON
from debtool.build.checks import refuse
from debtool.build.cmake import read_cache, summary_values, unused_variables
from debtool.build.compile_commands import WESTMERE, beyond, read_commands
from debtool.build.environment import BuildEnvironment
from debtool.build.journal import Note, Phase, Reader
from debtool.build.machine import read_machine
from debtool.build.ninja import read_log, remove_torn
from debtool.build.pace import HISTORY, durations_of, keep_history
from debtool.build.progress import Progress
from debtool.build.reboot import remove_unsure
from debtool.build.wheels import only_wheel
from debtool.build.workplace import digest_of
from debtool.deb.files import replace_file
from debtool.model.errors import InputError, Issue
from debtool.model.text import amount
from debtool.torch.launchers import launcher_variables
from debtool.torch.settings import Level, before_file, environment, held
from debtool.torch.source import prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from debtool.audit.baselines import Baseline
    from debtool.build.builder import Builder
    from debtool.build.checks import Check
    from debtool.build.compile_commands import Unit
    from debtool.model.target import Target
    from debtool.torch.preflight import Wanted
    from debtool.torch.settings import Choice, Chosen
    from debtool.torch.source import Prepared, SourceChoice

STEPS = ("preflight", "source", "environment", "configure", "compile", "wheel", "audit", "run", "keep")
"""What a build of PyTorch does, in this order; companions follow."""

FIRST_RECORD = Path(__file__).with_name("history.json")
"""How long each step took in the build of Debian's PyTorch 2.6.0 that docs/torch.md tells of (2 processors, CPU only,
free): for the forecast where no build was recorded yet. Of ROCm's objects it knows nothing."""

# What setup.py and the scripts that it runs import (2.4 to 2.7), and what the result is compiled against. numpy 2 makes
# extensions that numpy 1.26 loads too ("NumPy 2.0 migration guide", C API). cmake and ninja are the system's: the
# index's newest cmake refuses what third_party asks for.
BUILD_REQUIRES = ("setuptools<80", "wheel", "packaging", "pyyaml", "typing-extensions", "requests", "six", "numpy>=2")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built, and how.

    Attributes:
        target: The system that the wheel is for.
        choice: Version, level, GPUs.
        chosen: The settings.
        source: Where the source comes from.
        wanted: What the machine must be fit for.
        interpreter: The target's Python on this machine.
        baseline: The CPU that the result is audited for.
        cache: debtool's cache.
        own: The user's environment, for the settings of compiler caches.
        emulate: Whether the result is run on the emulated CPU.
        companions: What is compiled against the result in the same run, by name.
        asked: What the user asked for, by the options' names, for the statement of where the result is from.
    """

    target: Target
    choice: Choice
    chosen: tuple[Chosen, ...]
    source: SourceChoice
    wanted: Wanted
    interpreter: Path
    baseline: Baseline
    cache: Path
    own: Mapping[str, str]
    emulate: bool = True
    companions: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of the whole run."""
        return (*(step for step in STEPS if step != "run" or self.emulate), *self.companions)

    @property
    def title(self) -> str:
        """What people call it."""
        return f"torch {self.choice.version} for {self.target.name}, {self.choice.level}"

    @property
    def folder(self) -> Path:
        """Where it is built; build systems are known to trip over a "+" in a path."""
        name = f"{self.target.name}-{self.choice.version}-{self.choice.level}".replace("+", "-")
        return self.cache.resolve() / "torch" / name


@dataclass(frozen=True, slots=True)
class Compiled:
    """A wheel that was compiled, not yet audited.

    Attributes:
        wheel: The file.
        prepared: Its source.
        environment: What compiled it.
    """

    wheel: Path
    prepared: Prepared
    environment: BuildEnvironment

    @property
    def build(self) -> Path:
        """Where CMake and ninja worked."""
        return self.prepared.tree / "build"


def compile_torch(order: Order, builder: Builder, checks: Sequence[Check]) -> Compiled:
    """Build the wheel of ``order`` in the builder's folder.

    Args:
        order: What is built.
        builder: Runs the commands.
        checks: What preflight found of the machine; its warnings are put on record.

    Raises:
        DebtoolError: Something is missing, a setting did not take, or it cannot be compiled; all is kept for the next
            run.
    """
    phase(order, builder, "preflight")
    for one in checks:
        if one.verdict == "warning":
            builder.journal.write(Note(f"{one.name}: {one.found}; {one.why}", level="warning"))
    refuse(checks)
    phase(order, builder, "source")
    prepared = prepare(
        order.source,
        builder.workplace.folder,
        rocm=order.choice.rocm is not None,
        interpreter=order.interpreter,
        run=builder.run,
    )
    builder.journal.write(Note(f"source: {prepared.verified}"))
    phase(order, builder, "environment")
    # PyTorch stores CXXFLAGS in its libraries (caffe2/core/macros.h): paths are mapped by before.cmake and hipcc.
    made = BuildEnvironment(builder, _variables(order, prepared, builder), optimise=False, maps_paths=False)
    made.create(order.interpreter, BUILD_REQUIRES, ())
    phase(order, builder, "configure")
    _distrust(prepared, builder)
    _configure(order, prepared, made)
    phase(order, builder, "compile")
    _compile(prepared, made)
    phase(order, builder, "wheel")
    return Compiled(_wheel(order, prepared, made), prepared, made)


def phase(order: Order, builder: Builder, name: str) -> None:
    """Write into the journal that one of the steps of ``order`` begins."""
    builder.journal.write(Phase(name, order.steps.index(name) + 1, len(order.steps)))


def _variables(order: Order, prepared: Prepared, builder: Builder) -> dict[str, str]:
    folder = builder.workplace.folder
    launching = launcher_variables(order.wanted.launcher, order.cache.resolve(), folder, order.own)
    chosen = environment(order.chosen, jobs=builder.jobs, folder=folder, source=prepared.tree)
    chosen.pop("MAX_JOBS", None)  # changes with the memory that there is, from attempt to attempt
    return {"PATH": order.wanted.path, **chosen, **launching}


def _distrust(prepared: Prepared, builder: Builder) -> None:
    """Have made again what may not have come to the disk before the machine went down."""
    # What is installed has its source's times, so CMake would not install it again. In torch/lib are sources, too.
    torch = prepared.tree / "torch"
    installed = [
        *(torch / name for name in ("bin", "include", "share")),
        *torch.glob("lib/*.so*"),
        *torch.glob("lib/*.a"),
    ]
    if removed := remove_unsure(builder.workplace, read_machine().boot, [prepared.tree / "build", *installed]):
        told = f"the machine went down: {amount(len(removed), 'file')} of its last minute are made again"
        builder.journal.write(Note(told, level="warning"))


def _configure(order: Order, prepared: Prepared, made: BuildEnvironment) -> None:
    """Configure if it was not, from the same; and hold what came out against what was meant, in any case."""
    place = made.builder.workplace
    before, build = before_file(order.chosen, place.folder), prepared.tree / "build"
    digest = digest_of(prepared.digest, dict(made.variables), before)
    log = place.folder / "configure.log"
    if not (place.has("configure", digest) and (build / "build.ninja").is_file()):
        place.forget("configure")
        (build / "CMakeCache.txt").unlink(missing_ok=True)  # CMake would keep its first answers
        replace_file(place.folder / "before.cmake", before.encode())
        begin = place.log.stat().st_size
        fix = "read the log from where CMake says 'Error'"
        made.run([str(made.python), "setup.py", "build", "--cmake-only"], fix, cwd=prepared.tree)
        with place.log.open("rb") as stream:
            stream.seek(begin)
            replace_file(log, stream.read())
        os.sync()  # the stamp must not be on the disk before what it stands for
        place.mark("configure", digest)
    said = log.read_text(encoding="utf-8", errors="replace")
    cache = read_cache(build / "CMakeCache.txt")
    if issues := held(order.chosen, cache, unused_variables(said), summary_values(said)):
        place.forget("configure")
        raise InputError(*issues)
    _hold_units(order, read_commands(build / "compile_commands.json"), made.builder)


def _hold_units(order: Order, units: Sequence[Unit], builder: Builder) -> None:
    """Hold every compiler command against the level that was promised."""
    found = beyond(units, WESTMERE)
    native = [unit for unit, flags in found if any(flag.endswith("=native") for flag in flags)]
    if native and not order.choice.here:
        problem = f"{amount(len(native), 'unit')} would be compiled for whatever CPU this machine has: {native[0].file}"
        raise InputError(Issue(problem, field="-march=native", fix="leave out what sets it (--set, CFLAGS)"))
    if found and order.choice.level is Level.FREE:
        unit, flags = found[0]
        problem = f"{amount(len(found), 'unit')} would be compiled with more than the CPU has: {unit.file} ({flags[0]})"
        fix = "switch that part off (--set NAME=VALUE), or promise less: --level dispatch-safe"
        raise InputError(Issue(problem, field="--level free", fix=fix))
    told = f"{amount(len(found), 'unit')} of {len(units)} are" if found else f"none of {amount(len(units), 'unit')} is"
    builder.journal.write(Note(f"{told} compiled with flags beyond {order.baseline.title}"))


def _compile(prepared: Prepared, made: BuildEnvironment) -> None:
    build = prepared.tree / "build"
    builder = made.builder
    for torn in remove_torn(build):
        builder.journal.write(Note(f"{torn.name} was cut short, and is compiled again"))
    fix = f"read the log; when its cause is mended, {GO_ON}"
    made.compile(lambda jobs: ["ninja", "-j", str(jobs), "install"], fix, cwd=build)
    progress = Progress()
    for entry in Reader(builder.workplace.journal).new():
        progress.take(entry)
    taken = durations_of(progress.steps.finished, read_log(build / ".ninja_log"))
    keep_history(builder.workplace.folder / HISTORY, taken)


def _wheel(order: Order, prepared: Prepared, made: BuildEnvironment) -> Path:
    place = made.builder.workplace
    # setup.py lengthens the licence for the wheel and puts it back afterwards, unless it is killed in between.
    licence, kept = prepared.tree / "LICENSE", place.folder / "LICENSE"
    if place.has("licence", prepared.digest):
        shutil.copyfile(kept, licence)
    else:
        shutil.copyfile(licence, kept)
        place.mark("licence", prepared.digest)
    dist = place.fresh("dist")
    command = [str(made.python), "setup.py", "bdist_wheel", "--dist-dir", str(dist)]
    made.compile(lambda _jobs: command, "read the log", cwd=prepared.tree)
    return only_wheel(dist, "torch", str(order.choice.version), order.target)
