"""Lintian's verdict on packages, kept by the package's hash and lintian's version.

Lintian is Debian's checker of packages against Debian Policy. It is asked for a machine-readable answer, so that what
counts is decided here and not by its exit status.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from debtool.deb.files import replace_file, sha256_of
from debtool.deb.lintian import override_rules
from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from debtool.stack.make import Watcher

# Raised when what is kept of a verdict changes.
_FORMAT = 1

_LARGE = 50_000_000
"""Bytes of a package that is judged alone: lintian takes 2 GB of memory for PyTorch's."""

_BATCH = 12
"""Small packages that one lintian judges: starting it costs as much as judging a small package."""

_ZSTD = re.compile(r"(second|third) \(official\) member (control|data)\.tar\.zst not ")
"""What a lintian that does not know zstd says of it as ``malformed-deb-archive``. dpkg reads zstd since 1.21.18, and
targets with an older one get xz. Whatever else is malformed stays an error."""


_NOTHING = "No packages selected."
"""What lintian says when it could read none of the packages."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that lintian says of a package.

    Attributes:
        tag: What it is (``lintian-explain-tags TAG``).
        severity: ``error`` or ``warning``.
        what: What lintian says beyond the tag, and the file concerned; may be empty.
        reason: Why the package overrides the tag, if it does.
    """

    tag: str
    severity: str
    what: str
    reason: str | None = None

    @property
    def overridden(self) -> bool:
        """Whether the package overrides it, and may."""
        return self.reason is not None and override_rules().may_override(self.tag)

    @property
    def is_error(self) -> bool:
        """Whether it must not stay: an error, or an override of what must never be overridden."""
        return not self.overridden and (self.severity == "error" or self.reason is not None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What lintian says of one package.

    Attributes:
        deb: The package's file.
        sha256: Its hash.
        findings: Errors and warnings, those that the package overrides among them.
    """

    deb: Path
    sha256: str
    findings: tuple[Finding, ...]

    def errors(self) -> tuple[Issue, ...]:
        """Return what must be mended."""
        return tuple(_issue(self.deb, finding) for finding in self.findings if finding.is_error)

    def warnings(self) -> tuple[Issue, ...]:
        """Return what might be mended."""
        left = (finding for finding in self.findings if not (finding.overridden or finding.is_error))
        return tuple(_issue(self.deb, finding) for finding in left)


@dataclass(frozen=True, slots=True)
class Lintian:
    """Lintian as it is installed here.

    Attributes:
        profile: The distribution by whose rules packages are judged: ``debian`` or ``ubuntu``.
        cache: The folder in which verdicts are kept.
        version: Lintian's version; another one judges anew.
    """

    profile: str
    cache: Path
    version: str

    @classmethod
    def find(cls, profile: str, cache: Path) -> Lintian:
        """Return the installed lintian; raises ``OutsideError`` if there is none."""
        try:
            done = subprocess.run(["lintian", "--print-version"], text=True, capture_output=True, check=True)
        except FileNotFoundError:
            raise OutsideError(Issue("lintian is not installed", fix="apt-get install lintian")) from None
        except subprocess.CalledProcessError as error:
            raise _failed(error.stderr) from error
        return cls(profile, cache, done.stdout.strip())

    def judge(self, debs: Sequence[Path], *, jobs: int, watcher: Watcher) -> list[Verdict]:
        """Return the verdicts on ``debs`` in their order, up to ``jobs`` lintians working at once.

        Large packages are judged one at a time, whatever ``jobs`` is.

        Raises:
            InputError: A file is no package.
            OutsideError: Lintian failed.
        """
        hashes = {deb: _hash(deb) for deb in debs}
        verdicts = {deb: kept for deb in hashes if (kept := self._kept(deb, hashes[deb])) is not None}
        missing = sorted((deb for deb in hashes if deb not in verdicts), key=lambda deb: -deb.stat().st_size)
        if missing:
            watcher.stage("lint", len(missing))
            large = deque([deb] for deb in missing if deb.stat().st_size >= _LARGE)
            rest = missing[len(large) :]
            # Dealt like cards, so that every batch has its share of the heavier ones.
            count = -(-len(rest) // _BATCH)
            small = deque(rest[start::count] for start in range(count))
            told = Lock()

            def work(*queues: deque[list[Path]]) -> list[Verdict]:
                mine: list[Verdict] = []
                for batch in _drain(queues):
                    mine += self._run({deb: hashes[deb] for deb in batch})
                    with told:
                        for deb in batch:
                            watcher.step(deb.name)
                return mine

            with ThreadPoolExecutor(jobs) as pool:
                workers = [pool.submit(work, large, small), *(pool.submit(work, small) for _ in range(jobs - 1))]
                verdicts |= {verdict.deb: verdict for worker in workers for verdict in worker.result()}
        return [verdicts[deb] for deb in debs]

    def _run(self, hashes: Mapping[Path, str]) -> list[Verdict]:
        """Judge packages with one lintian and keep the verdicts."""
        paths = {str(deb.absolute()): deb for deb in hashes}
        options = ["--no-cfg", "--no-user-dirs", "--ignore-lintian-env", "--profile", self.profile]
        options += ["--show-overrides", "--exp-output", "format=json", "--fail-on", "none"]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            ["lintian", *options, *paths], env=environment, text=True, capture_output=True, check=False
        )
        try:
            # With nothing left to judge it prints no JSON.
            answer = json.loads(done.stdout) if _NOTHING not in done.stderr else {"groups": []}
            hints = {file["path"]: file["hints"] for group in answer["groups"] for file in group["input_files"]}
            findings = {paths[path]: tuple(_findings(listed)) for path, listed in hints.items()}
        except (ValueError, KeyError) as error:
            raise _failed(done.stderr) from error
        if unread := [deb for deb in hashes if deb not in findings]:
            why = "lintian cannot read the package"
            raise InputError(*(Issue(why, fix="build it again", file=deb, rule="deb(5)") for deb in unread))
        verdicts = [Verdict(deb, hashes[deb], findings[deb]) for deb in hashes]
        for verdict in verdicts:
            self._keep(verdict)
        return verdicts

    def _file(self, sha256: str) -> Path:
        return self.cache / f"{sha256}.{self.profile}.{self.version}.json"

    def _kept(self, deb: Path, sha256: str) -> Verdict | None:
        try:
            record = json.loads(self._file(sha256).read_text(encoding="utf-8"))
            if record["format"] != _FORMAT:
                return None
            return Verdict(deb, sha256, tuple(Finding(**finding) for finding in record["findings"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _keep(self, verdict: Verdict) -> None:
        record = {"format": _FORMAT, "findings": [asdict(finding) for finding in verdict.findings]}
        replace_file(self._file(verdict.sha256), json.dumps(record).encode())


def _drain(queues: Sequence[deque[list[Path]]]) -> Iterator[list[Path]]:
    """Yield what is in ``queues``, which others empty too, the first queue's first."""
    for queue in queues:
        while True:
            try:
                yield queue.popleft()
            except IndexError:
                break


def _findings(hints: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for hint in hints:
        # "masks" are lintian's own screens against false positives.
        if hint["visibility"] not in ("error", "warning") or hint.get("masks"):
            continue
        if hint["tag"] == "malformed-deb-archive" and _ZSTD.match(hint["note"]):
            continue
        pointer = hint.get("pointer", {})
        file = f"{pointer['item']['name']}:{pointer['line_position']}".removesuffix(":0") if pointer else ""
        what = " ".join(filter(None, [hint["note"], file]))
        reason = hint["override"]["justification"] if "override" in hint else None
        yield Finding(hint["tag"], hint["visibility"], what, reason)


def _issue(deb: Path, finding: Finding) -> Issue:
    problem = f"{finding.severity} {finding.tag}"
    if finding.reason is not None:
        problem = f"overrides {finding.tag}, which must never be overridden"
    return Issue(problem, file=deb, field=finding.what or None, fix=f"lintian-explain-tags {finding.tag} tells how")


def _hash(deb: Path) -> str:
    try:
        return sha256_of(deb)
    except OSError as error:
        fix = "correct the path"
        raise InputError(Issue(f"the package cannot be read ({error.strerror})", file=deb, fix=fix)) from None


def _failed(message: str) -> OutsideError:
    last = (message.strip().splitlines() or ["it said nothing"])[-1]
    return OutsideError(Issue(f"lintian failed: {last}", fix="run it by hand on the packages to see more"))
