"""The static audit: every instruction of every ELF file of a package, held against a baseline.

Small files go to worker processes in batches. Of a large one this process finds the functions, and workers decode
ranges of it.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from debtool.audit.cache import AuditCache
from debtool.audit.classify import classify
from debtool.audit.decode import decode
from debtool.audit.examine import examine
from debtool.audit.findings import FileAudit, PackageAudit
from debtool.audit.image import Image
from debtool.audit.layout import DAMAGED, ET_REL, NotAudited
from debtool.audit.subjects import Member, distribution_of, is_package, listed, opened, packaged
from debtool.deb.files import sha256_of
from debtool.deb.workers import begin_worker
from debtool.model.errors import DebtoolError, InputError, Issue, OutsideError, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from debtool.audit.baselines import Baseline
    from debtool.audit.decode import Decoded, Range
    from debtool.audit.examine import Decode
    from debtool.audit.rules import Rules
    from debtool.audit.subjects import Copy, Listed

    Progress = Callable[[str, int, int], None]

_LARGE = 48 * 2**20
"""Bytes of a file whose ranges go to workers; a smaller one is one worker's, whose memory that bounds."""

_COLLECTION = 200_000
"""Objects that are made before Python looks for garbage that refers to itself: here there is none, and looking through
millions of small objects takes time."""

_BATCH = 8 * 2**20
"""Bytes of small files that go to a worker together."""


def audit_paths(
    paths: Sequence[Path],
    baseline: Baseline,
    rules: Rules,
    *,
    cache: Path,
    jobs: int,
    progress: Progress | None = None,
    hashes: Mapping[Path, str] | None = None,
) -> list[PackageAudit]:
    """Audit wheels, packages, folders and ELF files and return one result for each of ``paths``, in their order.

    Args:
        paths: What to audit.
        baseline: The CPU.
        rules: Which code is known to be guarded.
        cache: debtool's cache; results are kept in its folder ``audit``, by what they depend on.
        jobs: How many processes decode.
        progress: Is told what was done, how many bytes of ELF files are done, and of how many, from any thread.
        hashes: The SHA-256 of wheels and packages where it is known: what was audited before is not even opened.

    Raises:
        InputError: A path is no such thing, or a wheel or package is damaged; all of them are told.
        OutsideError: A worker was killed.
    """
    kept = AuditCache.below(cache, baseline, rules)
    errors: list[DebtoolError] = []
    subjects = [_Subject(path, distribution_of(path)) for path in paths]
    for subject in subjects:
        try:
            subject.look_up(kept, (hashes or {}).get(subject.path))
        except DebtoolError as error:
            errors.append(error)
    missing = [subject for subject in subjects if subject.audit is None and not errors]
    if missing:
        with _Run(_Auditor(kept, baseline, rules), jobs, progress) as run:
            errors += run.audit(missing)
    if errors:
        raise together(errors)
    return [subject.audit or subject.keep(kept) for subject in subjects]


@dataclass(slots=True)
class _Subject:
    """One path, and what is known of it so far; its hash is empty for a folder."""

    path: Path
    distribution: str
    sha256: str = ""
    audit: PackageAudit | None = None
    files: list[FileAudit] = field(default_factory=list)

    def look_up(self, kept: AuditCache, sha256: str | None) -> None:
        if self.path.is_dir():
            return
        if not self.path.is_file():
            raise InputError(Issue("there is no such file", fix="check the path", file=self.path))
        self.sha256 = sha256 or sha256_of(self.path)
        self.audit = kept.package(self.path, self.sha256, self.distribution)

    def keep(self, kept: AuditCache) -> PackageAudit:
        audit = kept.joined(self.path, self.sha256, tuple(self.files))
        if self.sha256:
            kept.keep_package(audit, self.distribution)
        return audit


@dataclass(frozen=True)
class _Auditor:
    """Audits one file; workers and their parent each have one."""

    kept: AuditCache
    baseline: Baseline
    rules: Rules

    def audit(self, member: Member, distribution: str, divided: Decode | None = None) -> FileAudit:
        """Return the audit of ``member``; ``divided`` has others decode ranges of it."""
        found = self.kept.file(member.path, member.sha256, distribution)
        if found is not None:
            return found
        try:
            with Image(member.file) as image:
                found = self._examined(image, member, distribution, divided)
        except NotAudited as reason:
            found = FileAudit(member.path, member.sha256, member.size, note=str(reason))
        except DAMAGED as error:
            found = FileAudit(member.path, member.sha256, member.size, note=f"damaged: {error}")
        return found

    def _examined(self, image: Image, member: Member, distribution: str, divided: Decode | None) -> FileAudit:
        def here(ranges: Iterable[Range]) -> Iterator[Decoded]:
            return (decode(work, image.code(work.offset, work.size), self.baseline) for work in ranges)

        # Code of an object is not in its file as it will be: relocations are applied to it first.
        examined = examine(image, here, divided if divided and image.layout.kind != ET_REL else here)
        findings = classify(
            examined.uses, examined.graph, image.functions, self.rules, path=member.path, distribution=distribution
        )
        return FileAudit(
            path=member.path,
            sha256=member.sha256,
            size=member.size,
            code=sum(section.size for section in image.sections),
            instructions=examined.instructions,
            functions=len(image.functions),
            symbols=image.symbols,
            undecoded=examined.undecoded,
            findings=findings,
        )


class _Run:
    """Workers, and a thread for what is large."""

    def __init__(self, auditor: _Auditor, jobs: int, progress: Progress | None) -> None:
        self._auditor = auditor
        self._jobs = jobs
        self._progress = progress
        self._lock = threading.Lock()
        self._done = self._total = 0
        # Spawned, not forked: this process has threads, and a forked copy of a held lock never opens.
        context = multiprocessing.get_context("spawn")
        self._workers = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(auditor,))
        self._thread = ThreadPoolExecutor(1)
        # Copies of a package's files that wait for a worker.
        self._copies = threading.BoundedSemaphore(jobs + 1)

    def __enter__(self) -> Self:
        self._thresholds = gc.get_threshold()
        gc.set_threshold(_COLLECTION)
        # Workers start with interruptions held back, until they ignore them; the thread never gets any.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            for _ in range(self._jobs):
                self._workers.submit(os.getpid)
            self._thread.submit(os.getpid)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # A worker that raised in the middle of anything could hang in a lock; killed, it leaves nothing behind.
            for child in multiprocessing.active_children():
                child.kill()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._workers.shutdown(wait=True, cancel_futures=True)
        gc.set_threshold(*self._thresholds)

    def audit(self, subjects: Sequence[_Subject]) -> list[DebtoolError]:
        """Audit ``subjects`` into their lists of files, and return what went wrong."""
        errors: list[DebtoolError] = []
        pending: dict[Future[list[FileAudit]], _Subject] = {}
        try:
            batches = self._begin(subjects, pending, errors)
            large = len(pending)
            while pending or batches:
                # A few wait for each worker, not all: ranges of large files stand in the same queue.
                while batches and len(pending) < large + 2 * self._jobs:
                    subject, names = batches.popleft()
                    task = self._workers.submit(_audit_batch, subject.path, names, subject.distribution)
                    pending[task] = subject
                for task in wait(pending, return_when=FIRST_COMPLETED).done:
                    subject = pending.pop(task)
                    with _collecting(errors):
                        self._take(subject, task.result())
                        self._advance(str(subject.path), sum(file.size for file in task.result() if file.size < _LARGE))
        except BrokenProcessPool:
            fix = "look for an out-of-memory kill (dmesg), and try fewer --jobs"
            raise OutsideError(Issue("an audit process was killed", fix=fix)) from None
        return errors

    def _take(self, subject: _Subject, files: Sequence[FileAudit]) -> None:
        """Keep what was found; a worker does not, which can be killed in the middle."""
        kept = self._auditor.kept
        subject.files += files
        for file in files:
            if kept.file(file.path, file.sha256, subject.distribution) is None:
                kept.keep_file(file, subject.distribution)

    def _begin(
        self, subjects: Sequence[_Subject], pending: dict[Future[list[FileAudit]], _Subject], errors: list[DebtoolError]
    ) -> deque[tuple[_Subject, list[str]]]:
        """Begin what is large, into ``pending``; return what is small in batches, the largest first."""
        looked: list[tuple[_Subject, Future[list[Listed]]]] = []
        for subject in subjects:
            if is_package(subject.path):
                pending[self._thread.submit(self._audit_package, subject)] = subject
            else:
                looked.append((subject, self._workers.submit(listed, subject.path)))
        batches: list[tuple[int, _Subject, list[str]]] = []
        large: list[tuple[int, _Subject, str]] = []
        for subject, task in looked:
            with _collecting(errors):
                found = task.result()
                self._advance(str(subject.path), 0, sum(one.size for one in found))
                large += [(one.size, subject, one.path) for one in found if one.size >= _LARGE]
                batches += [(size, subject, names) for size, names in _batches(found)]
        for _, subject, name in sorted(large, key=itemgetter(0), reverse=True):
            pending[self._thread.submit(self._audit_large, subject, name)] = subject
        return deque((subject, names) for _, subject, names in sorted(batches, key=itemgetter(0), reverse=True))

    def _audit_large(self, subject: _Subject, name: str) -> list[FileAudit]:
        """Audit one large file of a subject."""
        with opened(subject.path, [name], self._auditor.kept.scratch) as members:
            return [self._divided(member, subject.distribution) for member in members]

    def _audit_package(self, subject: _Subject) -> list[FileAudit]:
        """Audit a Debian package, whose files pass once."""
        audits: list[FileAudit] = []
        tasks: list[Future[FileAudit]] = []
        for path, copy in packaged(subject.path, self._auditor.kept.scratch):
            self._advance(str(subject.path), 0, copy.size)
            member = Member(path, copy.path, copy.size, copy.sha256)
            if copy.size >= _LARGE:
                with copy:
                    audits.append(self._divided(member, subject.distribution))
            else:
                self._copies.acquire()
                tasks.append(self._workers.submit(_audit_member, member, subject.distribution))
                tasks[-1].add_done_callback(partial(self._let_go, copy))
        return [*audits, *(task.result() for task in tasks)]

    def _let_go(self, copy: Copy, _: object) -> None:
        copy.close()
        self._copies.release()

    def _divided(self, member: Member, distribution: str) -> FileAudit:
        """Audit a file whose ranges workers decode."""
        left = member.size

        def divided(ranges: Iterable[Range]) -> Iterator[Decoded]:
            # All begin now: the caller has other things to do before it looks at what they found.
            return collected([self._workers.submit(_decode, str(member.file), work) for work in ranges])

        def collected(tasks: Sequence[Future[Decoded]]) -> Iterator[Decoded]:
            nonlocal left
            step = member.size // len(tasks)
            for task in as_completed(tasks):
                yield task.result()
                self._advance(member.path, step)
                left -= step

        audit = self._auditor.audit(member, distribution, divided)
        self._advance(member.path, left)
        return audit

    def _advance(self, what: str, done: int, more: int = 0) -> None:
        with self._lock:
            self._done += done
            self._total += more
            if self._progress is not None:
                self._progress(what, self._done, self._total)


def _batches(found: Sequence[Listed]) -> Iterator[tuple[int, list[str]]]:
    """Yield bytes and paths of small files that one worker should take together."""
    size, names = 0, list[str]()
    for one in found:
        if one.size < _LARGE:
            size += one.size
            names.append(one.path)
            if size >= _BATCH:
                yield size, names
                size, names = 0, []
    if names:
        yield size, names


@contextmanager
def _collecting(errors: list[DebtoolError]) -> Iterator[None]:
    try:
        yield
    except DebtoolError as error:
        errors.append(error)


# --- in a worker -----------------------------------------------------------------------------------------------------

_auditors: list[_Auditor] = []


def _start(auditor: _Auditor) -> None:
    """Begin a worker with its auditor."""
    begin_worker()
    gc.set_threshold(_COLLECTION)
    _auditors.append(auditor)


def _audit_batch(path: Path, names: Sequence[str], distribution: str) -> list[FileAudit]:
    with opened(path, names, _auditors[0].kept.scratch) as members:
        return [_auditors[0].audit(member, distribution) for member in members]


def _audit_member(member: Member, distribution: str) -> FileAudit:
    return _auditors[0].audit(member, distribution)


def _decode(file: str, work: Range) -> Decoded:
    with open(file, "rb") as stream:  # noqa: PTH123 -- a name below /proc
        code = os.pread(stream.fileno(), work.size, work.offset)
    return decode(work, code, _auditors[0].baseline)
