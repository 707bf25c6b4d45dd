"""The emulated gate: runs packages natively and on an emulated CPU, side by side, and says what differs."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from debtool.audit.emulate import GUEST, REPORTER, Guest, Plan, asking, build_reporter, find_emulator
from debtool.audit.emulate_control import run_controls
from debtool.audit.emulate_environment import ask_interpreter, installed_contents, wheel_contents, workshop
from debtool.audit.emulate_fault import read_fault
from debtool.audit.gate import ProbeResult, Verdict, find_verdict, keep_verdict
from debtool.audit.probe_results import judge
from debtool.audit.probe_sets import find_probes
from debtool.deb.files import outside_errors, sha256_of
from debtool.model.errors import InputError, Issue
from debtool.wheel.bytecode import find_interpreter
from debtool.wheel.source import open_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from packaging.utils import NormalizedName

    from debtool.audit.baselines import Baseline
    from debtool.audit.emulate import Emulator, Reply
    from debtool.audit.emulate_environment import Contents, Interpreter, Workshop
    from debtool.audit.probe_sets import ProbeSet

    # Told what was done, how many are done, and of how many.
    Progress = Callable[[str, int, int], None]

_RUNNER = (
    GUEST,
    REPORTER,
    *(
        Path(__file__).with_name(f"{name}.py")
        for name in ("emulate", "emulate_control", "emulate_environment", "probe_results")
    ),
)
"""What a verdict depends on beside the probes: what runs and judges them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a run may take.

    Attributes:
        jobs: How many processes are at work at once.
        import_seconds: How long the import of one module may take.
        probe_seconds: How long one probe may take.
    """

    jobs: int = 2
    import_seconds: float = 180
    probe_seconds: float = 180


@dataclass(frozen=True, slots=True)
class _Subject:
    """A wheel that is tried.

    Attributes:
        path: The file.
        sha256: Its hash.
        wheels: The wheels that it is tried with, its own first.
        others: The hashes of those, its own not included.
        interpreter: What it is tried with.
        probes: Its probes.
    """

    path: Path
    sha256: str
    wheels: tuple[Path, ...]
    others: tuple[str, ...]
    interpreter: Interpreter
    probes: ProbeSet

    @property
    def digest(self) -> str:
        """The digest of everything that the verdict depends on beside wheels, emulator and CPU."""
        return _digest_of(self.probes, self.interpreter)


def run_wheels(
    wheels: Sequence[Path],
    baseline: Baseline,
    *,
    offered: Sequence[Path] = (),
    python: str | None = None,
    cache: Path,
    limits: Limits | None = None,
    again: bool = False,
    hashes: Mapping[Path, str] | None = None,
    progress: Progress | None = None,
) -> list[Verdict]:
    """Return the verdict of each of ``wheels`` on ``baseline``, in their order.

    Each is tried with those of ``offered`` that it requires, and theirs. What was tried before with the same wheels,
    probes, emulator and interpreter is not tried again.

    Args:
        wheels: The wheels.
        baseline: The CPU; it must have a model of the emulator.
        offered: Wheels that they may need; ``wheels`` themselves are among them.
        python: The minor version for wheels that run on several; by default the one that runs debtool.
        cache: debtool's cache folder.
        limits: How much may be taken.
        again: Whether kept verdicts are left aside.
        hashes: The known SHA-256 of files.
        progress: Told of each wheel; of each task, if it is one wheel.

    Raises:
        InputError: A wheel is none, or the baseline has no model.
        OutsideError: There is no emulator, compiler or interpreter, or the control did not fail as it must.
    """
    limits = limits or Limits()
    emulator = find_emulator(baseline)
    subjects = _subjects(wheels, offered, python, hashes or {})
    found: dict[Path, Verdict] = {}
    for one in subjects if not again else ():
        kept = find_verdict(
            cache, one.sha256, cpu=emulator.cpu, emulator=emulator.version, probes=one.digest, wheels=one.others
        )
        if kept is not None:
            found[one.path] = kept
    todo = [one for one in subjects if one.path not in found]
    if todo:
        with outside_errors("running the gate"), workshop(cache) as place:
            gate = _Gate(emulator, build_reporter(cache), baseline, place, limits)
            for path, verdict in gate.run_all(todo, progress):
                keep_verdict(cache, verdict)
                found[path] = verdict
    return [found[path] for path in wheels]


def run_installed(
    python: Path,
    names: Sequence[str],
    baseline: Baseline,
    *,
    cache: Path,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> list[Verdict]:
    """Return the verdict of each distribution of ``names`` as it is installed for ``python``; none is kept.

    Raises:
        InputError: One is not installed, or the baseline has no model.
        OutsideError: As `run_wheels`.
    """
    limits = limits or Limits()
    emulator = find_emulator(baseline)
    interpreter = ask_interpreter(python)
    verdicts = []
    with outside_errors("running the gate"), workshop(cache) as place:
        gate = _Gate(emulator, build_reporter(cache), baseline, place, limits)
        for name in names:
            site, contents = installed_contents(python, name, interpreter)
            probes = find_probes(name)
            control = gate.control(python)
            task = _Task(name, python.absolute(), site, contents, probes, _digest_of(probes, interpreter), control)
            verdicts.append(gate.run(task, slots=limits.jobs, progress=progress))
    return verdicts


@dataclass(frozen=True, slots=True)
class _Task:
    """What is tried: ``contents`` of what is installed in ``site``, by ``python``, after ``control``."""

    name: str
    python: Path
    site: Path
    contents: Contents
    probes: ProbeSet
    digest: str
    control: str
    sha256: str = ""
    others: tuple[str, ...] = ()


class _Gate:
    """What all runs of one call share."""

    def __init__(self, emulator: Emulator, reporter: Path, baseline: Baseline, place: Workshop, limits: Limits) -> None:
        self._emulator = emulator
        self._prefix = emulator.command(reporter)
        self._baseline = baseline
        self._place = place
        self._limits = limits
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._controls: dict[Path, str] = {}

    def control(self, python: Path) -> str:
        """Try what must fail and what must pass with ``python``, once; return what failed."""
        with self._lock:
            if python not in self._controls:
                folder = self._folder()
                self._controls[python] = run_controls([*self._prefix, str(python)], self._baseline, folder)
            return self._controls[python]

    def run_all(self, subjects: Sequence[_Subject], progress: Progress | None) -> Iterator[tuple[Path, Verdict]]:
        """Yield the verdict of each subject as it is reached; nothing is left running when this ends."""
        one = len(subjects) == 1
        slots = self._limits.jobs if one else 1
        # What takes longest is begun first.
        order = sorted(subjects, key=lambda subject: subject.path.stat().st_size, reverse=True)
        with ThreadPoolExecutor(1 if one else self._limits.jobs) as pool:
            futures: dict[Future[Verdict], _Subject] = {
                pool.submit(self._run_subject, subject, slots, progress if one else None): subject for subject in order
            }
            waiting = set(futures)
            try:
                while waiting:
                    done, waiting = wait(waiting, return_when="FIRST_COMPLETED")
                    for future in done:
                        subject = futures[future]
                        yield subject.path, future.result()
                        if progress is not None and not one:
                            progress(subject.path.name, len(futures) - len(waiting), len(futures))
            except BaseException:
                self._cancelled.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _run_subject(self, subject: _Subject, slots: int, progress: Progress | None) -> Verdict:
        with self._lock:  # a wheel that several need is unpacked once
            site = self._place.unpack(subject.path, subject.interpreter)
            venv = self._place.environment(subject.wheels, subject.interpreter)
        python = venv / "bin" / "python"
        control = self.control(subject.interpreter.program)
        installed = next(venv.glob("lib/python*/site-packages"))
        contents = wheel_contents(site, installed, subject.interpreter)
        task = _Task(
            subject.path.name,
            python,
            installed,
            contents,
            subject.probes,
            subject.digest,
            control,
            subject.sha256,
            subject.others,
        )
        return self.run(task, slots=slots, progress=progress)

    def run(self, task: _Task, *, slots: int, progress: Progress | None) -> Verdict:
        """Run ``task`` natively and emulated, side by side, and compare."""
        begun = time.monotonic()
        plan = Plan(
            preload=task.contents.top_level,
            modules=tuple(name for name in task.contents.modules if "." in name),
            site=task.site,
            libraries=task.contents.libraries,
            probe_file=task.probes.file,
            probes=task.probes.names,
            import_seconds=self._limits.import_seconds,
            probe_seconds=self._limits.probe_seconds,
            slots=slots,
            programs=task.contents.programs,
        )
        total = len(plan.tasks)
        done = 0

        def watch(reply: Reply) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(reply.task, done, total)

        native = Guest((), task.python, self._folder())
        emulated = Guest(self._prefix, task.python, self._folder())
        with ThreadPoolExecutor(2) as pool:
            runs = [
                pool.submit(native.run, plan, self._cancelled),
                pool.submit(emulated.run, plan, self._cancelled, watch),
            ]
            try:
                wait(runs, return_when=FIRST_EXCEPTION)
            finally:
                if not all(run.done() and run.exception() is None for run in runs):
                    self._cancelled.set()
        for one in runs:
            one.result()  # raises what it raised
        return self._verdict(task, plan, native, emulated, time.monotonic() - begun)

    def _verdict(self, task: _Task, plan: Plan, native: Guest, emulated: Guest, seconds: float) -> Verdict:
        results: list[ProbeResult] = []
        absent: list[tuple[str, str]] = []
        modules = 0
        for name in plan.tasks:
            probe = name.removeprefix("probe ") if name.startswith("probe ") else None
            judged = judge(
                name,
                native.replies.get(name),
                emulated.replies.get(name),
                tolerance=task.probes.tolerance_of(probe) if probe else 0.0,
                refusal=task.probes.refusals.get(probe) if probe else None,
                fault_of=lambda pid: read_fault(emulated.faults, pid, task.site),
            )
            if isinstance(judged, str):
                absent.append((name, judged.replace(f"{task.site}/", "")))
            elif judged.failed or not name.startswith(("import ", "load ")):
                results.append(judged)
            else:
                modules += name.startswith("import ")
        if any(name not in emulated.replies for name in native.replies) and not any(
            result.failed for result in results
        ):
            results.append(ProbeResult("run", "error", "the emulated run ended before everything was tried"))
        contents = task.contents
        # A distribution's files can be links to where its libraries belong.
        executed = {str(task.site / result.fault.library) for result in results if result.fault is not None}
        files = [str((task.site / name).resolve()) for name in (*contents.compiled, *contents.libraries)]
        answers = [emulated.replies.get(asking(program)) for program in contents.programs]
        loaded = sum(name in emulated.mapped | executed for name in files)
        loaded += sum(answer is not None and answer.done for answer in answers)
        return Verdict(
            subject=task.name,
            sha256=task.sha256,
            cpu=self._emulator.cpu,
            emulator=self._emulator.version,
            probes=task.digest,
            control=task.control,
            modules=modules,
            results=tuple(results),
            absent=tuple(absent),
            wheels=task.others,
            seconds=round(seconds, 1),
            loaded=loaded,
            unloaded=len(files) + len(answers) - loaded,
        )

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="run-", dir=self._place.folder))


def _digest_of(probes: ProbeSet, interpreter: Interpreter) -> str:
    parts = [probes.digest, interpreter.version, *(sha256_of(file) for file in _RUNNER)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _subjects(
    wheels: Sequence[Path], offered: Iterable[Path], python: str | None, hashes: Mapping[Path, str]
) -> list[_Subject]:
    """Return what is to be tried: each wheel with what it needs of ``offered``."""
    by_name: dict[NormalizedName, Path] = {}
    for path in [*offered, *wheels]:
        by_name[_name_of(path)] = path
    interpreters: dict[str, Interpreter] = {}
    known = dict(hashes)
    subjects = []
    for path in wheels:
        minor = _minor_of(path) or python or f"{sys.version_info[0]}.{sys.version_info[1]}"
        if minor not in interpreters:
            interpreters[minor] = ask_interpreter(find_interpreter(minor))
        probes = find_probes(_name_of(path))
        own = {**by_name, _name_of(path): path}
        needed = _closure(_name_of(path), own, probes.uses, interpreters[minor])
        for one in needed:
            known.setdefault(one, "")
            known[one] = known[one] or sha256_of(one)
        others = tuple(sorted(known[one] for one in needed if one != path))
        subjects.append(_Subject(path, known[path], needed, others, interpreters[minor], probes))
    return subjects


def _name_of(path: Path) -> NormalizedName:
    try:
        name, _, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        fix = "give the wheel's file, with its own name"
        raise InputError(Issue(f"is no wheel: {error}", file=path, fix=fix)) from error
    if not any(tag.platform == "any" or ("linux" in tag.platform and tag.platform.endswith("x86_64")) for tag in tags):
        fix = "give a wheel for Linux on x86-64"
        raise InputError(Issue("is for another system than the emulator's", file=path, fix=fix))
    return name


def _minor_of(path: Path) -> str | None:
    """Return the one minor version of CPython that a wheel is for, None if it runs on several (PEP 425)."""
    minors = set()
    for tag in parse_wheel_filename(path.name)[3]:
        if not tag.interpreter.startswith("cp3") or tag.abi in ("abi3", "none"):
            return None
        minors.add(f"3.{tag.interpreter[3:]}")
    return minors.pop() if len(minors) == 1 else None


def _closure(
    name: NormalizedName, offered: Mapping[NormalizedName, Path], uses: Iterable[str], interpreter: Interpreter
) -> tuple[Path, ...]:
    """Return the wheel called ``name`` and all those of ``offered`` that it requires, and its probes use."""
    environment = {str(key): str(value) for key, value in default_environment().items()}
    environment["python_full_version"] = interpreter.version
    environment["python_version"] = ".".join(interpreter.version.split(".")[:2])
    seen: dict[tuple[NormalizedName, str], None] = {}
    waiting = [(name, ""), *((canonicalize_name(one), "") for one in uses)]
    while waiting:
        current = waiting.pop()
        if current in seen or current[0] not in offered:
            continue
        seen[current] = None
        with open_wheel(offered[current[0]]) as wheel:
            requires = wheel.requires
        for text in requires:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue  # the packages' recipes judge metadata; here it is only not met
            if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": current[1]}):
                key = canonicalize_name(requirement.name)
                waiting += [(key, ""), *((key, extra) for extra in requirement.extras)]
    order = dict.fromkeys(key for key, _ in seen)
    return tuple(offered[key] for key in order)
