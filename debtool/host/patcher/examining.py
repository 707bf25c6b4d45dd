"""What a copy is: looked at and asked, without changing anything."""

from __future__ import annotations

import contextlib

from . import behaviour, text, versions
from .errors import OutsideError, PatchError
from .findings import HAND, OURS, UPSTREAM, Copy, Finding
from .state import digest
from .values import dataclass

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Callable

    from .behaviour import Behaviour
    from .files import Content, Folder, Tree
    from .places import Places
    from .recipe import Recipe
    from .state import State

ISOLATED = "functions in isolation"
NOTHING = versions.Installed(None)


@dataclass(frozen=True, slots=True)
class Host:
    """A patch on a machine: the recipe, the tree, the state, and where copies are."""

    recipe: Recipe
    tree: Tree
    state: State
    places: Places

    def site(self, copy: Copy) -> str:
        """Return the folder that a copy is imported from."""
        return self.places.site(copy.path)

    def open(self, copy: Copy) -> Folder:
        """Open the folder of a copy. Raises FileNotFoundError, PatchError, OutsideError."""
        return self.tree.folder(copy.folder)

    def installed(self, copy: Copy) -> versions.Installed:
        """Read what is installed where a copy is; nothing where that cannot be read."""
        try:
            with self.tree.folder(self.site(copy)) as site:
                return versions.installed(site, self.recipe.distribution, self.recipe.file)
        except (OSError, PatchError, OutsideError):
            return NOTHING

    def beside(self, copy: Copy) -> str:
        """Return a digest of the names and versions of all distributions where a copy is."""
        names = self.tree.names(self.site(copy))
        return digest("\n".join(name for name in names if name.endswith((".dist-info", ".egg-info"))).encode())


@dataclass(slots=True)
class Look:
    """A copy as it was seen, and what would become of it."""

    finding: Finding
    source: Content | None = None
    installed: versions.Installed = NOTHING
    patched: bytes | None = None
    trouble: PatchError | None = None


def examine(host: Host, copy: Copy, wanted: str | None = None, *, run: bool = True) -> Look:
    """Say what a copy is, without changing anything; with ``wanted``, also what it would be at that level.

    Without ``run``, its mark says whether it is patched. Raises OutsideError where nothing can be asked.
    """
    finding = Finding(copy.path, "missing", "there is no such file", diverted=copy.diverted, origin=copy.origin)
    finding.python, finding.named = copy.python, copy.named
    look = Look(finding)
    try:
        with host.open(copy) as folder:
            look.source = folder.read(copy.name, attributes=wanted is not None)
    except FileNotFoundError:
        return look
    except PatchError as error:
        finding.state, finding.reason = "unpatchable", str(error)
        return look
    look.installed = host.installed(copy)
    add_versions(host, copy, look)
    _history(host, look)
    if finding.affected is False:
        finding.state = "unaffected"
        finding.reason = f"{host.recipe.distribution} {finding.version} needs no patch"
        finding.by = UPSTREAM if versions.mended_upstream(host.recipe, finding.version or "") else None
    elif not look.installed.whole and not copy.diverted and not (copy.named and look.installed.info is None):
        finding.state = "installing"
        finding.reason = "its .dist-info is not there or not finished: it is being installed, or was left half-way"
        finding.fix = "wait for the installer; if none is running, install the distribution again"
    elif run:
        _behaviour(host, look, wanted)
    else:
        _by_mark(host, look)
    if finding.affected is not False and finding.needed is not False and host.recipe.prevention is not None:
        finding.prevention = _prevention(host, copy)
    return look


def listed(host: Host, copy: Copy, state: str | None = None, reason: str = "") -> Finding:
    """Say what a copy is as far as that shows without running anything; or that it is in a given state, and why.

    Raises OutsideError.
    """
    if state is None:
        return examine(host, copy, run=False).finding
    finding = Finding(copy.path, state, reason, diverted=copy.diverted, python=copy.python, origin=copy.origin)
    finding.named = copy.named
    finding.version = host.installed(copy).version
    finding.affected = versions.affected(host.recipe, finding.version) if finding.version else None
    return finding


def add_versions(host: Host, copy: Copy, look: Look) -> None:
    """Fill in the version, whether it is affected, and whether the defect shows here."""
    finding, recipe = look.finding, host.recipe
    finding.version = look.installed.version
    finding.affected = versions.affected(recipe, finding.version) if finding.version else None
    with contextlib.suppress(OSError, PatchError, OutsideError), host.tree.folder(host.site(copy)) as site:
        finding.needed, finding.needed_why = versions.needed(recipe, site)


def _history(host: Host, look: Look) -> None:
    """Fill in what is recorded of these very bytes."""
    record = host.state.record(look.finding.path)
    if look.source is None or record is None or record.get("patched_sha256") != digest(look.source.data):
        return
    for name in ("pristine_sha256", "patched_sha256", "verified", "verified_time", "unverified"):
        setattr(look.finding, name, record.get(name))


def _behaviour(host: Host, look: Look, wanted: str | None) -> None:
    """Fill in how the copy behaves, and for ``wanted`` the patched text, if it behaves."""
    finding, recipe, source = look.finding, host.recipe, (look.source and look.source.data) or b""
    if wanted is not None:
        try:
            look.patched = text.patched_text(source, recipe, wanted)
        except PatchError as error:
            look.trouble = error
    patched = look.patched if look.patched not in {None, source} else None
    try:
        seen = behaviour.ask_isolated(recipe, [source] if patched is None else [source, patched])
    except PatchError as error:
        if patched is None:
            finding.state, finding.reason = "unpatchable", str(error)
            return
        look.trouble, look.patched = error, None
        _behaviour(host, look, None)
        return
    if patched is not None and wanted is not None:
        look.trouble = judged(seen[0], seen[1], wanted)
    finding.level = seen[0].level()
    if finding.level is None:
        finding.state, finding.affected, finding.reason = "unpatched", True, recipe.defect
        return
    finding.state, finding.by = "patched", _who(host, look)
    finding.reason = f"it behaves, level {finding.level}"
    if finding.verified is None:
        finding.seen(ISOLATED)


def _by_mark(host: Host, look: Look) -> None:
    marked = look.source is not None and host.recipe.marker.encode() in look.source.data
    look.finding.state, look.finding.by = ("patched", OURS) if marked else ("unpatched", None)
    look.finding.reason = "this program's mark is in it" if marked else "this program's mark is not in it"


def judged(before: Behaviour, after: Behaviour, level: str) -> PatchError | None:
    """Return what is wrong with patched functions: they fail a check of ``level``, or do otherwise than before."""
    wrong = [*after.wrong(level), *after.changed(before)]
    return PatchError("the patched functions do not behave: " + "; ".join(wrong)) if wrong else None


def _who(host: Host, look: Look) -> str:
    """Say who made a copy behave: this program by its mark, upstream if it is as it was shipped, else somebody."""
    data = look.source.data if look.source else b""
    if host.recipe.marker.encode() in data:
        return OURS
    if look.installed.recorded is not None:
        return UPSTREAM if look.installed.recorded == digest(data) else HAND
    try:
        guarded = not text.missing(data, host.recipe, look.finding.level or host.recipe.levels[0])
    except PatchError:
        return UPSTREAM
    return HAND if guarded else UPSTREAM


def _prevention(host: Host, copy: Copy) -> str | None:
    """Say how the defect is kept away in the copy's environment by pip's own means."""
    what = host.recipe.prevention
    if what is None or copy.environment is None:
        return None
    file = f"{copy.environment}/pip.conf"
    content = host.tree.read(file)
    if content is not None and what.file.encode() in content.data:
        return f"in place: {file} holds {what.constraint}"
    return f"offered: pip --python {copy.python or copy.environment} config --site set install.constraint {what.file}"


def untouched(host: Host, copy: Copy, folder: Folder, look: Look) -> Callable[[], bool]:
    """Return the question whether file and distribution are still the ones that were looked at."""

    def ask() -> bool:
        try:
            present = folder.read(copy.name)
        except (FileNotFoundError, PatchError, OutsideError):
            return False
        return look.source is not None and present.same(look.source) and host.installed(copy) == look.installed

    return ask
