"""The proof of a release: a machine that has nothing of ours takes it the way a user would, runs it and lets it go."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.root import describe_status
from debtool.model.errors import DebtoolError, FindingsError, Issue
from debtool.model.names import wheel_package
from debtool.stack.service import start_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from debtool.build.image import RootImage
    from debtool.build.root import Root

# Where apt, dpkg and debconf keep books of their own; what they note there of a package is not left behind by it.
_BOOKKEEPING = re.compile(
    r"/(var/(lib/(apt|dpkg)|cache/(apt|debconf|ldconfig)|log)/.*|etc/(passwd|shadow|group|gshadow|subuid|subgid)-)"
)
_KIB = 1024
# With what came for it alone, be it only recommended or suggested by what stays: apt-get(8), apt.conf(5).
_KEEP_NOTHING = [f"--option=APT::AutoRemove::{kind}Important=false" for kind in ("Recommends", "Suggests")]
_PURGE = ["apt-get", "purge", "--yes", "--autoremove", *_KEEP_NOTHING]
# `apt-get --print-uris`: 'URI' file-name size hash.
_FETCH = re.compile(r"'(?P<uri>[^']+)' \S+ (?P<size>[0-9]+) ", re.MULTILINE)

_SEEN = """
import importlib.metadata, json
print(json.dumps(sorted(d.metadata["Name"] for d in importlib.metadata.distributions())))
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a release promises to a machine, and so what is proved.

    Attributes:
        package: What a user installs.
        prefix: The first part of the names of the stack's packages.
        venv: The runtime's environment on the machine.
        stanza: The archive's apt source, with the key as a file.
        lines: What a user pastes as root; the last line installs ``package``.
        paths: What the service of ``package`` must answer with status 200.
        start_timeout: Seconds that its start may take.
    """

    package: str
    prefix: str
    venv: str
    stanza: str
    lines: Sequence[str]
    paths: Sequence[str] = ("/", "/info")
    start_timeout: float = 900


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a proof: what was tried, how long it took, what was seen, and whether it was as promised."""

    name: str
    seconds: float
    detail: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an installation comes to.

    Attributes:
        packages: How many packages of the stack are installed.
        distribution_packages: How many of the distribution's came with them.
        downloaded: Bytes that apt fetched.
        installed: Bytes that the packages say they take up (Policy 5.6.20).
    """

    packages: int
    distribution_packages: int
    downloaded: int
    installed: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof came to.

    Attributes:
        steps: What was tried, in order, up to the first step that failed.
        sizes: What was installed; None if it did not come to that.
    """

    steps: tuple[Step, ...]
    sizes: Sizes | None

    @property
    def ok(self) -> bool:
        """Whether everything was as promised."""
        return all(step.ok for step in self.steps)


def prove(claim: Claim, image: RootImage, log: Path, watch: Callable[[Step], None] = lambda _: None) -> Proof:
    """Try a release in throwaway roots and return what was seen, the first failure being the last step.

    Args:
        claim: What the release promises.
        image: The system that it promises it for, with nothing of ours in it.
        log: Where the service's output goes.
        watch: Told of each step when it is done.
    """
    steps: list[Step] = []
    sizes: Sizes | None = None

    @contextmanager
    def step(name: str) -> Iterator[list[str]]:
        began = time.monotonic()
        detail: list[str] = []
        failure = None
        try:
            yield detail
        except DebtoolError as error:
            failure = error
            detail = [str(error)]
        steps.append(Step(name, time.monotonic() - began, "; ".join(detail), failure is None))
        watch(steps[-1])
        if failure is not None:
            raise _StepFailedError from failure

    try:
        with step("apt refuses the archive without its key") as seen, image.instance() as stranger:
            seen.append(refuse_without_key(stranger, claim.stanza))
        with image.instance() as root:
            files, packages = list_files(root), _with_status(root, "installed")
            with step("the archive is added as a user does it"):
                root.run(["sh", "-e"], stdin=_script(claim.lines[:-1]))
            with step(f"apt installs {claim.package}") as seen:
                downloaded = _download_size(root, claim.package)
                root.run(["sh", "-e"], stdin=_script(claim.lines[-1:]))
                sizes = _sizes(claim, packages, _with_status(root, "installed"), downloaded)
                seen.append(f"{sizes.packages} packages of ours, {sizes.distribution_packages} of the distribution")
            with step(f"its service answers {' and '.join(claim.paths)}") as seen:
                service = start_service(root, claim.package, log)
                service.wait_for(claim.paths, claim.start_timeout)
                service.daemon.stop()
                seen.append(f"HTTP 200 from {service.url}")
            with step("dpkg finds every file as it was packed") as seen:
                ours = sorted(name for name in _with_status(root, "installed") if name.startswith(f"{claim.prefix}-"))
                seen.append(verify_with_dpkg(root, ours))
            with step("Python sees the full set") as seen:
                seen.append(verify_with_pip(root, claim.venv, claim.prefix, ours))
            with step("purging it leaves nothing behind") as seen:
                # What the service has made is the user's, and goes on the user's word only: debian-templates/tree.
                root.path(f"/var/lib/{claim.package}/purge-everything").touch()
                root.run([*_PURGE, *ours])
                seen.append(verify_nothing_left(files, list_files(root)))
    except _StepFailedError:
        pass
    return Proof(tuple(steps), sizes)


class _StepFailedError(Exception):
    """Ends a proof; the step itself is recorded."""


def refuse_without_key(root: Root, stanza: str) -> str:
    """Check that apt refuses an archive whose key the machine has not; returns what it says.

    Raises:
        FindingsError: It accepts the archive.
    """
    root.path("/etc/apt/sources.list.d/without-key.sources").write_text(stanza)
    done = root.run(["apt-get", "update", "--error-on=any"], check=False)
    refusals = [line for line in done.stderr.splitlines() if "not signed" in line or "NO_PUBKEY" in line]
    if done.returncode == 0 or not refusals:
        raise _finding(
            "apt-get update took an archive without its key, or failed otherwise: "
            f"it {describe_status(done.returncode)}\n{done.stdout}{done.stderr}"
        )
    return refusals[0]


def verify_with_dpkg(root: Root, packages: Sequence[str]) -> str:
    """Check with dpkg that nothing is half-done and that the files of ``packages`` are as they were packed.

    Raises:
        FindingsError: What ``dpkg --audit`` or ``dpkg --verify`` names.
    """
    found = root.run(["dpkg", "--audit"]).stdout + root.run(["dpkg", "--verify", *packages], check=False).stdout
    if found:
        raise _finding(f"dpkg finds:\n{found}")
    return "dpkg --audit and dpkg --verify find nothing"


def verify_with_pip(root: Root, venv: str, prefix: str, packages: Sequence[str]) -> str:
    """Check that Python sees a distribution for each wheel's package and no other, and that ``pip check`` agrees.

    Raises:
        FindingsError: The two sets differ, or a requirement is not met.
    """
    # The runtime has no pip: the one that debtool depends on is lent to it, in the root's /tmp.
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        raise AssertionError("pip is a dependency of debtool")
    root.copy_in(Path(spec.origin).parent, "/tmp/lent/pip")  # noqa: S108 -- the root's own
    # -B: no bytecode is written beside files that dpkg owns.
    python = [f"{venv}/bin/python3", "-I", "-B"]
    seen = set(json.loads(root.run([*python, "-c", _SEEN]).stdout))
    expected = {name for name in packages if name.startswith(wheel_package(prefix, "x")[:-1])}
    if missing := expected - {wheel_package(prefix, name) for name in seen}:
        raise _finding(f"Python does not see what these packages install: {', '.join(sorted(missing))}")
    if strange := {name for name in seen if wheel_package(prefix, name) not in expected}:
        raise _finding(f"Python sees what no package of ours installs: {', '.join(sorted(strange))}")
    check = root.run([*python, "/tmp/lent/pip", "check", "--disable-pip-version-check"], check=False)  # noqa: S108
    if check.returncode != 0:
        raise _finding(f"pip check finds:\n{check.stdout}{check.stderr}")
    return f"{len(seen)} distributions, and pip check finds nothing"


def list_files(root: Root) -> frozenset[str]:
    """Return every path of the root's own file system."""
    return frozenset(root.run(["find", "/", "-xdev", "-print0"]).stdout.split("\0")) - {""}


def verify_nothing_left(before: frozenset[str], after: frozenset[str]) -> str:
    """Check that no path is new except in the books of apt, dpkg and debconf.

    Raises:
        FindingsError: The new paths.
    """
    left = sorted(path for path in after - before if not _BOOKKEEPING.fullmatch(path))
    if left:
        raise _finding("left behind:\n" + "\n".join(left))
    return "nothing is left"


def _finding(problem: str) -> FindingsError:
    return FindingsError(Issue(problem, fix="mend the packages and release again"))


def _script(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _with_status(root: Root, status: str) -> dict[str, int]:
    """Return the packages that dpkg(1) has in ``status``, with the bytes that each says it takes up."""
    fields = "${db:Status-Status}|${Package}|${Installed-Size}\n"
    listing = root.run(["dpkg-query", "--show", f"--showformat={fields}"]).stdout
    rows = (line.split("|") for line in listing.splitlines())
    return {name: int(size or 0) * _KIB for state, name, size in rows if state == status}


def _download_size(root: Root, package: str) -> int:
    uris = root.run(["apt-get", "install", "--yes", "--print-uris", "--quiet=2", package]).stdout
    return sum(int(match["size"]) for match in _FETCH.finditer(uris))


def _sizes(claim: Claim, before: dict[str, int], after: dict[str, int], downloaded: int) -> Sizes:
    new = {name: size for name, size in after.items() if name not in before}
    ours = sum(name.startswith(f"{claim.prefix}-") for name in new)
    return Sizes(ours, len(new) - ours, downloaded, sum(new.values()))
