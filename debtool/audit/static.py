"""The static audit: every instruction of every ELF file of a package, held against a baseline."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from typing import TYPE_CHECKING

from debtool.audit.calls import CallGraph
from debtool.audit.classify import classify
from debtool.audit.decode import Decoded, Range, Use, decode
from debtool.audit.findings import FileAudit, PackageAudit
from debtool.audit.image import Image, NotAudited
from debtool.audit.subjects import distribution_of, members
from debtool.deb.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from debtool.audit.baselines import Baseline
    from debtool.audit.rules import Rules
    from debtool.audit.subjects import Member


def audit_paths(
    paths: Sequence[Path],
    baseline: Baseline,
    rules: Rules,
    *,
    cache: Path,
    jobs: int,  # noqa: ARG001
    progress: Callable[[str, int, int], None] | None = None,
    hashes: Mapping[Path, str] | None = None,
) -> list[PackageAudit]:
    """Audit wheels, packages, folders and ELF files and return one result for each of ``paths``, in their order.

    Args:
        paths: What to audit.
        baseline: The CPU.
        rules: Which code is known to be guarded.
        cache: debtool's cache; results are kept in its folder ``audit``, by what they depend on.
        jobs: How many processes decode.
        progress: Is told a path, how many bytes of code are done, and of how many.
        hashes: The SHA-256 of wheels and packages where it is known: what was audited before is not even opened.

    Raises:
        InputError: Some path is no such thing, or damaged.
    """
    audits = []
    for path in paths:
        distribution = distribution_of(path)
        files = []
        for member in members(path, cache / "audit" / "scratch"):
            files.append(audit_file(member, baseline, rules, distribution))
            if progress is not None:
                progress(f"{path.name}:{member.path}", files[-1].code, files[-1].code)
        whole = "" if path.is_dir() else (hashes or {}).get(path) or sha256_of(path)
        digest = hashlib.sha256(f"{baseline.digest} {rules.digest}".encode()).hexdigest()
        audits.append(
            PackageAudit(str(path), whole, baseline.name, digest, tuple(sorted(files, key=lambda file: file.path)))
        )
    return audits


def audit_file(member: Member, baseline: Baseline, rules: Rules, distribution: str) -> FileAudit:
    """Audit one ELF file; what cannot be audited has a note that says why."""
    size = member.file.stat().st_size
    try:
        with Image(member.file) as image:
            return _audit(image, member, size, baseline, rules, distribution)
    except NotAudited as reason:
        return FileAudit(member.path, member.sha256, size, note=str(reason))


def _audit(
    image: Image, member: Member, size: int, baseline: Baseline, rules: Rules, distribution: str
) -> FileAudit:
    table = image.functions
    text = (image.sections[0].address, image.sections[-1].end)
    results: list[Decoded] = []
    for section in image.sections:
        first, last = bisect_left(table.starts, section.address), bisect_left(table.starts, section.end)
        code = image.code(section, section.address, section.end)
        starts, ends = table.starts[first:last], table.ends[first:last]
        results.append(decode(Range(code, section.address, starts, ends, image.bits, text, image.got), baseline))
    pieces = [pair for result in results for pair in zip(result.pieces[::2], result.pieces[1::2], strict=True)]
    table.insert(pieces)
    edges = []
    for result in results:
        for caller, target in zip(result.edges[::2], result.edges[1::2], strict=True):
            callee = table.containing(image.stubs.get(target, target))
            if callee is not None and callee != caller:
                edges.append((caller, callee))
        for address in result.taken:
            if table.containing(address) == address:
                image.entries[address] = image.entries.get(address, 0) | 8
    uses = [
        Use(
            table[start],
            tuple(sorted(found.features.values(), key=lambda feature: (-feature.count, feature.name))),
            frozenset(found.silent),
            data=False,
            asks_cpu=found.asks_cpu,
        )
        for result in results
        for start, found in result.found.items()
        if found.features or found.asks_cpu
    ]
    uses.sort(key=lambda use: use.function.start)
    graph = CallGraph(edges, image.entries)
    return FileAudit(
        path=member.path,
        sha256=member.sha256,
        size=size,
        code=sum(section.size for section in image.sections),
        instructions=sum(result.instructions for result in results),
        functions=len(table),
        symbols=image.symbols,
        undecoded=sum(result.undecoded for result in results),
        findings=classify(uses, graph, table, rules, path=member.path, distribution=distribution),
    )
