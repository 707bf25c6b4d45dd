"""Carrying out a plan: packages are built in parallel processes into the store."""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from debtool.deb.workers import begin_worker
from debtool.deb.writer import clear_leftovers, write_deb
from debtool.model.errors import DebtoolError, Issue, OutsideError, together
from debtool.stack.draft import DraftPayload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from debtool.stack.draft import Build, Draft
    from debtool.stack.plan import PlannedPackage
    from debtool.stack.store import Store


@dataclass(frozen=True, slots=True)
class Built:
    """A package that was built.

    Attributes:
        path: The file.
        size: Its bytes.
        sha256: Its hexadecimal digest.
    """

    path: Path
    size: int
    sha256: str


class Watcher(Protocol):
    """Is told how a release goes on; the command line draws it."""

    def stage(self, name: str, total: int | None) -> None:
        """``name`` begins, with ``total`` steps, or nobody knows how many."""

    def step(self, what: str) -> None:
        """One step is done."""


class LateStage:
    """A stage that begins with its first step: where there is nothing to do, nothing is said."""

    def __init__(self, watcher: Watcher, name: str) -> None:
        self._watcher = watcher
        self._name = name
        self._begun = False

    def step(self, what: str, total: int | None = None) -> None:
        """Count one step; ``total`` is how many there are if this is the first, None if nobody knows."""
        if not self._begun:
            self._watcher.stage(self._name, total)
            self._begun = True
        self._watcher.step(what)


def make_packages(packages: Sequence[PlannedPackage], store: Store, *, jobs: int, watcher: Watcher) -> list[Path]:
    """Build what the store does not have and return the files of all ``packages``.

    Raises:
        DebtoolError: One or more packages cannot be built; all that went wrong is told, and what was built is kept.
    """
    missing = [package for package in packages if not store.has(package)]
    build_packages(missing, store.folder, jobs=jobs, watcher=watcher, keep=store.keep)
    return [store.path(package) for package in packages]


def build_packages(
    packages: Sequence[PlannedPackage],
    folder: Path,
    *,
    jobs: int,
    watcher: Watcher,
    keep: Callable[[PlannedPackage, Built], None] | None = None,
) -> dict[str, Built]:
    """Build ``packages`` into ``folder``, the largest first, and return what came out by name.

    ``keep`` is told of each as soon as it is complete. Raises what `make_packages` raises.
    """
    if not packages:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    watcher.stage("build", len(packages))
    built: dict[str, Built] = {}
    errors: list[DebtoolError] = []
    # Spawned, not forked: this process has threads (progress), and a forked copy of a held lock never opens.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(packages)), mp_context=context, initializer=begin_worker) as pool:
        heaviest_first = sorted(packages, key=lambda package: -package.draft.weight)
        # Builders start with interruptions held back, until they ignore them (`begin_worker`).
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        futures = {pool.submit(_build, p.draft, p.build, folder / p.filename): p for p in heaviest_first}
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            for future in as_completed(futures):
                package = futures[future]
                try:
                    built[package.name] = future.result()
                except DebtoolError as error:
                    errors.append(error)
                    continue
                if keep is not None:
                    keep(package, built[package.name])
                watcher.step(package.name)
        except BrokenProcessPool:
            raise OutsideError(
                Issue("a build process was killed", fix="look for an out-of-memory kill (dmesg), and try fewer --jobs")
            ) from None
        except KeyboardInterrupt:
            # A builder that raised in the middle of anything could hang in a lock; killed, it leaves a file to clear.
            for child in multiprocessing.active_children():
                child.kill()
                child.join()
            for package in packages:
                clear_leftovers(folder / package.filename)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if errors:
        raise together(errors)
    return {package.name: built[package.name] for package in packages}


def _build(draft: Draft, build: Build, path: Path) -> Built:
    written = write_deb(
        path,
        DraftPayload(draft, build),
        partial(draft.control, build),
        date=build.date,
        compression=draft.target.compression,
    )
    return Built(written.path, written.size, written.sha256)
