"""What becomes of a compiled PyTorch: it is audited, run on the emulated CPU, and kept with what tells its origin."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from debtool.audit.emulate import find_emulator
from debtool.audit.findings import SAFE, Kind
from debtool.audit.gate_run import Limits, run_wheels
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths
from debtool.audit.summary import document, title
from debtool.build.checks import check
from debtool.build.journal import End, Entry, Note, Reader, encode
from debtool.build.provenance import byproduct, statement, to_bytes
from debtool.build.results import keep
from debtool.build.sampling import Sampling
from debtool.build.summary import write_summary
from debtool.build.toolchain import packages_in, toolchain
from debtool.deb.files import replace_file, sha256_of
from debtool.elf.needs import elf_files
from debtool.model.errors import DebtoolError, FindingsError, Issue, OutsideError
from debtool.model.text import amount
from debtool.torch.build import phase
from debtool.torch.origin import DebianOrigin, GitOrigin
from debtool.torch.settings import Level
from debtool.wheel.search import files_with
from debtool.wheel.source import open_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from debtool.audit.baselines import Baseline
    from debtool.audit.findings import Finding, PackageAudit
    from debtool.audit.gate import Verdict
    from debtool.build.builder import Builder
    from debtool.build.checks import Check
    from debtool.build.environment import BuildEnvironment
    from debtool.build.results import Kept
    from debtool.torch.build import Compiled, Order
    from debtool.torch.source import Prepared

BUILD_TYPE = "https://cheesegrater.invalid/debtool/torch-build/v1"
"""Says what the parameters of a statement mean: docs/torch.md."""

_PROGRAMS = ("cc", "c++", "ld", "ar", "cmake", "ninja", "ccache", "sccache", "hipcc")
_SHOWN = 5


def check_emulator(baseline: Baseline) -> Check:
    """Check the emulator, which is needed when everything is compiled, and so is looked for before."""
    why = f"the result is run on an emulated {baseline.title}; --no-run does without"
    wants = "qemu-x86_64"
    try:
        found = find_emulator(baseline)
    except DebtoolError as error:
        [issue] = error.issues
        packages = ["qemu-user"] if isinstance(error, OutsideError) else []
        return check("emulator", "missing", issue.problem, wants, why, packages=packages, fix=issue.fix)
    return check("emulator", "ok", f"{found.program}, {found.version.partition(' ')[2]}", wants, why)


def finish(order: Order, compiled: Compiled, builder: Builder) -> Kept:
    """Audit the wheel, run it on the emulated CPU, and keep it where the stack looks for it.

    Raises:
        FindingsError: It may execute, or did execute, what the CPU lacks, or is not what the level promises; it is left
            in the build's folder.
        OutsideError: The emulator is missing, or what the wheel requires cannot be had.
    """
    phase(order, builder, "audit")
    audit = audit_wheel(compiled.wheel, order, builder)
    _look_at_run_paths(compiled.wheel, order, builder)
    _look_at_build_paths(compiled.wheel, builder)
    verdict = None
    if order.emulate:
        phase(order, builder, "run")
        verdict = run_wheel(compiled.wheel, order, builder, needs_of(compiled.environment, compiled.wheel))
    phase(order, builder, "keep")
    return _kept(order, compiled, builder, audit, verdict)


def needs_of(environment: BuildEnvironment, wheel: Path, *with_it: Path) -> list[Path]:
    """Return the wheels that ``wheel`` requires, by its own metadata, for running it.

    ``with_it`` are taken where they are required, and are among them: a torch that was just built is on no index. NumPy
    is always among them: torch declares it nowhere, and uses it where it is there.
    """
    return environment.download(wheel, [*map(str, with_it), "numpy"])


def run_paths(wheel: Path) -> dict[str, list[str]]:
    """Return where the linker looks for the libraries of each ELF file of ``wheel`` that says so."""
    with open_wheel(wheel) as opened:
        found = elf_files(opened.sizes, opened.open)
    return {path: [*(one.runpath or one.rpath)] for path, one in sorted(found.items()) if one.runpath or one.rpath}


def _look_at_run_paths(wheel: Path, order: Order, builder: Builder) -> None:
    """Say which files look for libraries in folders of this machine alone."""
    rocm = {str(order.wanted.rocm_path), str(order.wanted.rocm_path.resolve())}
    for path, folders in run_paths(wheel).items():
        strange = [one for one in folders if not one.startswith("$ORIGIN") and not any(map(one.startswith, rocm))]
        if strange:
            told = f"{path} looks for libraries in {', '.join(strange)}, which other machines may not have"
            builder.journal.write(Note(told, level="warning"))


def _look_at_build_paths(wheel: Path, builder: Builder) -> None:
    """Say which files know where they were built: elsewhere they would be others."""
    if found := files_with(wheel, os.fsencode(builder.workplace.folder)):
        named = ", ".join(found[:_SHOWN])
        told = f"the build folder's path is in {amount(len(found), 'file')}: another folder makes others: {named}"
        builder.journal.write(Note(told, level="warning"))


def audit_wheel(wheel: Path, order: Order, builder: Builder) -> PackageAudit:
    """Return the static audit of a wheel; raise ``FindingsError`` if it is less than ``order`` promises."""
    with Sampling(builder.journal, builder.workplace.folder):
        [audit] = audit_paths([wheel], order.baseline, load_rules(), cache=order.cache, jobs=builder.jobs)
    free = order.choice.level is Level.FREE
    found = [finding for file in audit.files for finding in file.findings if finding.kind is not Kind.DATA]
    asking = [finding for finding in found if finding.kind in SAFE and _only_asks(finding)]
    broken = [finding for finding in found if finding.kind not in SAFE or (free and finding not in asking)]
    if broken:
        named = ", ".join(title(finding) for finding in broken[:_SHOWN])
        problem = f"{amount(len(broken), 'function')} may not be there at level {order.choice.level}: {named}"
        fix = "switch off what brings them in (debtool torch settings, --set NAME=VALUE), or promise less with --level"
        raise FindingsError(Issue(problem, file=wheel, field="audit isa", fix=fix))
    told = f"{audit.level} on {order.baseline.title}"
    if free and asking:
        told = f"free, but for {amount(len(asking), 'function')} that {'asks' if len(asking) == 1 else 'ask'} the CPU"
    builder.journal.write(Note(f"static audit of {wheel.name}: {told}"))
    return audit


def _only_asks(finding: Finding) -> bool:
    """Return whether a function has nothing but XGETBV, by which a CPU that has it is asked for AVX (Intel SDM 14.3).

    Compilers' own run-time libraries have such functions (gcc's ``__builtin_cpu_supports``).
    """
    return {feature.name for feature in finding.features} <= {"XSAVE"}


def run_wheel(wheel: Path, order: Order, builder: Builder, offered: Sequence[Path]) -> Verdict:
    """Return what running a wheel on the emulated CPU showed; raise ``FindingsError`` if anything failed."""
    with Sampling(builder.journal, builder.workplace.folder):
        [verdict] = run_wheels(
            [wheel],
            order.baseline,
            offered=offered,
            python=order.target.python,
            cache=order.cache,
            limits=Limits(jobs=builder.jobs),
        )
    said = f"{amount(verdict.modules, 'module')} and {amount(len(verdict.results), 'probe')}"
    builder.journal.write(Note(f"{wheel.name} run on {verdict.emulator} -cpu {verdict.cpu}: {said}"))
    if verdict.failed:
        problem = "; ".join(f"{one.name}: {one.outcome}: {one.detail}" for one in verdict.findings[:_SHOWN])
        fix = f"debtool audit run {wheel} --cpu {order.baseline.name} tells where"
        raise FindingsError(Issue(problem, file=wheel, field="audit run", fix=fix))
    return verdict


def _kept(order: Order, compiled: Compiled, builder: Builder, audit: PackageAudit, verdict: Verdict | None) -> Kept:
    place = builder.workplace
    journal = _closed_journal(order, builder)
    replace_file(place.folder / "summary.jsonl", journal)
    write_summary(place.folder / "summary.jsonl", place.folder / "summary.html")
    files: dict[str, Path | bytes] = {
        "build.log": place.log,
        "configure.log": place.folder / "configure.log",
        "CMakeCache.txt": compiled.build / "CMakeCache.txt",
        "compile_commands.json": compiled.build / "compile_commands.json",
        "journal.jsonl": journal,
        "summary.html": place.folder / "summary.html",
        "isa-audit.json": _as_json(document(audit, load_rules())),
    }
    if verdict is not None:
        files["isa-run.json"] = _as_json(asdict(verdict))
    files["provenance.intoto.json"] = to_bytes(_statement(order, compiled, builder, files))
    files["record.json"] = _as_json(_record(order, compiled, audit, verdict))
    # The wheel stays in the build's folder until a build is begun anew: companions are compiled against it.
    wheel = place.fresh("kept") / compiled.wheel.name
    shutil.copy2(compiled.wheel, wheel)
    return keep(order.cache, order.target.name, "torch", str(order.choice.version), wheel, files)


def _closed_journal(order: Order, builder: Builder) -> bytes:
    """Return the journal as far as it is written, with the end of this build, which companions may follow."""
    return builder.workplace.journal.read_bytes() + encode(Entry(time.time(), End("done", order.title)))


def _record(order: Order, compiled: Compiled, audit: PackageAudit, verdict: Verdict | None) -> dict[str, Any]:
    choice = order.choice
    return {
        "level": choice.level.value,
        "gpu": [*choice.gpu],
        "rocm": choice.rocm,
        "march": choice.march,
        "source": {
            "digest": compiled.prepared.digest,
            "commit": compiled.prepared.commit,
            "verified": compiled.prepared.verified,
            "steps": [*compiled.prepared.steps],
        },
        "settings": {one.name: one.value for one in order.chosen},
        "run_paths": run_paths(compiled.wheel),
        "audit": {
            "baseline": audit.baseline,
            "held": choice.level.value,
            "static": audit.level.value,
            "emulated": _word(verdict),
        },
    }


def _word(verdict: Verdict | None) -> str:
    return "not tried" if verdict is None or not verdict.tried else "nothing failed"


def _statement(order: Order, compiled: Compiled, builder: Builder, files: Mapping[str, Path | bytes]) -> dict[str, Any]:
    choice, prepared = order.choice, compiled.prepared
    entries = list(Reader(builder.workplace.journal).new())
    packages = ["libc6-dev", "linux-libc-dev"] if choice.rocm is None else ["libc6-dev", "rocm-core*", "hip-dev*"]
    tools = toolchain([*_PROGRAMS, str(order.interpreter)], packages, path=order.wanted.path)
    dependencies: list[Mapping[str, Any]] = [
        _source(order, prepared),
        *tools.dependencies,
        *({"name": name, "uri": f"pkg:pypi/{name}@{quote(version)}"} for name, _, version in _environment(compiled)),
    ]
    if choice.rocm is not None:
        owned = packages_in(order.wanted.rocm_path, path=order.wanted.path)
        dependencies += [one.descriptor for one in owned]
    return statement(
        {compiled.wheel.name: sha256_of(compiled.wheel)},
        build_type=BUILD_TYPE,
        external=dict(order.asked),
        internal={"chosen": {one.name: one.value for one in order.chosen}, "steps": [*prepared.steps]},
        dependencies=dependencies,
        invocation=f"{order.folder.name}/{entries[0].time:.0f}" if entries else order.folder.name,
        started=entries[0].time if entries else time.time(),
        finished=time.time(),
        byproducts=[byproduct(name, content) for name, content in sorted(files.items())],
    )


def _environment(compiled: Compiled) -> list[tuple[str, str, str]]:
    return [line.partition("==") for line in compiled.environment.installed()]


def _source(order: Order, prepared: Prepared) -> dict[str, Any]:
    """Return the source as a ResourceDescriptor; a folder of the user's has no address."""
    kind, _, value = prepared.digest.partition("+")[0].partition(":")
    found: dict[str, Any] = {"name": "source", "digest": {"gitCommit" if kind == "git" else "sha256": value}}
    match order.source.origin:
        case GitOrigin(repository=repository):
            found["uri"] = f"git+{repository}@{prepared.commit}"
        case DebianOrigin(suite=suite, package=package):
            found["uri"] = f"pkg:deb/debian/{package}?arch=source&distro={suite}"
    return found


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, default=str) + "\n").encode()
