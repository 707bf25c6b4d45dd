"""Carrying out a plan: packages are built in parallel processes into the store."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TYPE_CHECKING, Protocol

from debtool.deb.writer import write_deb
from debtool.model.errors import DebtoolError, InputError, Issue, OutsideError
from debtool.stack.draft import DraftPayload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from debtool.stack.draft import Build, Draft
    from debtool.stack.plan import PlannedPackage
    from debtool.stack.store import Store


class Watcher(Protocol):
    """Is told how a release goes on; the command line draws it."""

    def stage(self, name: str, total: int) -> None:
        """``name`` begins, with ``total`` steps."""

    def step(self, what: str) -> None:
        """One step is done."""


def make_packages(packages: Sequence[PlannedPackage], store: Store, *, jobs: int, watcher: Watcher) -> list[Path]:
    """Build what the store does not have and return the files of all ``packages``.

    Raises:
        DebtoolError: One or more packages cannot be built; all that went wrong is told, and what was built is kept.
    """
    store.folder.mkdir(parents=True, exist_ok=True)
    missing = sorted((p for p in packages if not store.has(p)), key=lambda p: -p.draft.weight)
    if missing:
        watcher.stage("build", len(missing))
        _build_all(missing, store, jobs, watcher)
    return [store.path(package) for package in packages]


def _build_all(missing: Sequence[PlannedPackage], store: Store, jobs: int, watcher: Watcher) -> None:
    issues: list[Issue] = []
    # Spawned, not forked: this process has threads (progress), and a forked copy of a held lock never opens.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(missing)), mp_context=context) as pool:
        futures = {pool.submit(_build, p.draft, p.build, store.path(p)): p for p in missing}
        try:
            for future in as_completed(futures):
                package = futures[future]
                try:
                    sha256, size = future.result()
                except DebtoolError as error:
                    issues += error.issues
                    continue
                store.keep(package, sha256, size)
                watcher.step(package.name)
        except BrokenProcessPool:
            raise OutsideError(
                Issue("a build process was killed", fix="look for an out-of-memory kill (dmesg), and try fewer --jobs")
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if issues:
        raise InputError(*issues)


def _build(draft: Draft, build: Build, path: Path) -> tuple[str, int]:
    built = write_deb(
        path,
        DraftPayload(draft, build),
        partial(draft.control, build),
        date=build.date,
        compression=draft.target.compression,
    )
    return built.sha256, built.size
