"""A stack: what a release is made of. One TOML file names its wheels, trees, patches and packages."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from debtool.model.definition import Strict, parse_definition
from debtool.model.errors import InputError
from debtool.model.names import distribution_name
from debtool.model.target import Line, Word

if TYPE_CHECKING:
    from pathlib import Path


def _requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"{text!r} is no requirement: {error}") from None
    return text


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError(f"{text!r} is no version (PEP 440)") from None
    return text


def _specifiers(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f"{text!r} is no version specifier (PEP 440)") from None
    return text


def _distribution(text: str) -> str:
    try:
        return distribution_name(text)
    except InputError as error:
        raise ValueError(error.issues[0].problem) from None


def _relative(text: str) -> str:
    if text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f"{text!r} is no path below the folder that it is relative to")
    return text


def _placeholders(text: str) -> str:
    try:
        text.format(state="", tree="", venv="")
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError(f"{text!r} has a placeholder other than {{state}}, {{tree}} and {{venv}}") from None
    return text


RequirementText = Annotated[str, AfterValidator(_requirement)]
Replacement = Annotated[str, AfterValidator(lambda text: _requirement(text) if text else text)]
VersionText = Annotated[str, AfterValidator(_version)]
SpecifierText = Annotated[str, AfterValidator(_specifiers)]
DistributionName = Annotated[str, AfterValidator(_distribution)]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._+-]+)+$")]
RelativePath = Annotated[
    str, AfterValidator(_relative), StringConstraints(pattern=r"^[A-Za-z0-9._+@-]+(/[A-Za-z0-9._+@-]+)*$")
]
FolderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+@-][A-Za-z0-9._+@-]*$")]
# What a unit file and a shell script can both hold between quotes: systemd.syntax(7).
ServiceText = Annotated[str, StringConstraints(pattern=r"^[^\n\"'\\%$`]*$"), AfterValidator(_placeholders)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
# A relation on another package of the stack: "runtime", or "=forge-deps" for exactly the version of this release.
Need = Annotated[str, StringConstraints(pattern=r"^=?[a-z0-9][a-z0-9.+-]*$")]


class Source(Strict):
    """Where a tree or a source archive comes from: exactly one of ``git``, ``path``, ``url`` and ``debian``.

    Attributes:
        git: A repository's address, with ``commit``.
        path: A folder or file, relative to the stack's file.
        url: An archive's address, with ``sha256``.
        debian: A Debian source package's name, with ``suite``, ``version`` (upstream) and ``sha256`` of its orig
            tarball; it is fetched by apt from the mirror that this machine uses.
    """

    git: Line | None = None
    commit: Commit | None = None
    path: Line | None = None
    url: Line | None = None
    debian: Word | None = None
    suite: Word | None = None
    version: Line | None = None
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Source:
        kinds = [kind for kind in ("git", "path", "url", "debian") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError("a source has exactly one of git, path, url and debian")
        wanted = {"git": {"commit"}, "path": set(), "url": {"sha256"}, "debian": {"suite", "version", "sha256"}}[
            kinds[0]
        ]
        given = {key for key in ("commit", "suite", "version", "sha256") if getattr(self, key) is not None}
        if given != wanted and not (kinds[0] == "path" and given == {"sha256"}):
            raise ValueError(f"a source with {kinds[0]} has {', '.join(sorted(wanted)) or 'no other key'} beside it")
        return self


class Artefact(Strict):
    """A wheel that does not come from the lock's index: torch, and what is compiled against it.

    Attributes:
        kind: ``external``: a wheel that the user, a URL or an index offers (``--source NAME=…``), by default what pip's
            own configuration finds. ``companion``: compiled here from ``source`` against the stack's own ``against``.
            ``build``: built from source by a command of its own (``debtool torch build``), or given with
            ``--source NAME=PATH``.
        targets: The targets for which this is the artefact of that name.
        requires: Its run-time requirements, for resolving a lock while the wheel is not at hand.
        environment: Variables of a companion's build.
        build_requires: What a companion's build environment holds, the lock's versions preferred.
        check: A Python statement that must succeed beside ``against`` when a companion has been built.
    """

    name: DistributionName
    version: VersionText
    kind: Literal["external", "companion", "build"]
    targets: tuple[Word, ...]
    requires: tuple[RequirementText, ...] = ()
    source: Source | None = None
    against: DistributionName | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    build_requires: tuple[RequirementText, ...] = ()
    check: Line | None = None
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _complete(self) -> Artefact:
        if self.kind == "companion" and (self.source is None or self.against is None):
            raise ValueError("a companion has a source and says against what it is compiled")
        return self


class Requirements(Strict):
    """What the application needs of Python.

    Attributes:
        direct: Its own requirements (PEP 508).
        constraints: Bounds on what others require (PEP 508), each commented with its reason.
        sdists: Distributions without a wheel, which are built here from their sdist; no other sdist is ever accepted.
    """

    direct: tuple[RequirementText, ...]
    constraints: tuple[RequirementText, ...] = ()
    sdists: tuple[DistributionName, ...] = ()


class AuditException(Strict):
    """Findings of the instruction audit that are published all the same, until a date.

    Attributes:
        wheel: The distribution.
        targets: The targets that it counts for; none means all.
        functions: Patterns (fnmatch) of demangled symbols; ``*`` alone stands for whatever is found.
        kinds: The classes of findings (docs/audit.md) that it counts for; none means all.
        versions: The versions of the distribution that it counts for; none means all.
        reason: Why that is right.
        expires: The last day that it counts.
    """

    wheel: DistributionName
    targets: tuple[Word, ...] = ()
    functions: Annotated[tuple[Line, ...], Field(min_length=1)]
    kinds: tuple[Literal["import-time", "silent", "shared-weak", "unguarded"], ...] = ()
    versions: SpecifierText | None = None
    reason: Line
    expires: Annotated[dt.date, Field(strict=True)]

    def concerns(self, wheel: str, version: Version, target: str) -> bool:
        """Return whether it counts for a version of the distribution ``wheel`` on the target called ``target``."""
        return (
            wheel == self.wheel
            and (not self.targets or target in self.targets)
            and (self.versions is None or SpecifierSet(self.versions).contains(version, prereleases=True))
        )


class Rebuild(Strict):
    """A distribution of the lock's index that is compiled here from its sdist, for a baseline.

    Attributes:
        wheel: The distribution.
        cpu: The baseline whose instructions the compilers may use.
        targets: The targets that it is compiled for; none means all.
        settings: Settings of its build backend (PEP 517, ``config_settings``).
        reason: Why.
    """

    wheel: DistributionName
    cpu: Word
    targets: tuple[Word, ...] = ()
    settings: dict[str, str] = Field(default_factory=dict)
    reason: Line


class WheelSettings(Strict):
    """What one wheel's package has beyond what the wheel says.

    Attributes:
        depends: Relations (Debian syntax) that its files do not show, such as libraries it opens at run time.
        requires: Other requirements in place of the wheel's own, by distribution; an empty one leaves it out.
        libraries: Relations (Debian syntax) for shared libraries, by soname; an empty one leaves it out.
        run_path: Folders in run paths of its ELF files, and the folder that is written in place of each.
        any_gpu: Whether it may lack device code for the target's GPU.
        exclude: Patterns (fnmatch, below site-packages) of files left out of the package.
        reason: Why.
    """

    depends: tuple[Line, ...] = ()
    requires: dict[DistributionName, Replacement] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)
    run_path: dict[AbsolutePath, AbsolutePath] = Field(default_factory=dict)
    any_gpu: bool = False
    exclude: tuple[Line, ...] = ()
    reason: Line


class BasePackage(Strict):
    """What every package of the stack has.

    Attributes:
        name: Its name without the stack's prefix.
        summary: One line (Policy 5.6.13).
        description: The long description.
        needs: Packages of this stack that it depends on; ``=name`` asks for exactly this release's version.
        depends: Further relations, in Debian's syntax.
    """

    name: Word
    summary: Line
    description: str
    needs: tuple[Need, ...] = ()
    depends: tuple[Line, ...] = ()
    recommends: tuple[Line, ...] = ()
    section: Word = "misc"


class RuntimePackage(BasePackage):
    """The venv skeleton that every wheel of the stack is installed into."""

    recipe: Literal["runtime"]


class MetaPackage(BasePackage):
    """Depends on exactly the tested set: every wheel of the lock."""

    recipe: Literal["meta"]


class KeyringPackage(BasePackage):
    """The archive's key and source, and the other vendors' archives that the target needs."""

    recipe: Literal["keyring"]


class DoctorPackage(BasePackage):
    """The diagnosis of a machine."""

    recipe: Literal["doctor"]


class PatchPackage(BasePackage):
    """A patch of one file of one distribution, applied whenever that file changes.

    Attributes:
        patch: The patch file, relative to the stack's file (debtool/model/patch.py).
        restart: Trees of this stack whose running service is restarted when the file has really changed.
    """

    recipe: Literal["patch"]
    patch: RelativePath
    restart: tuple[Word, ...] = ()


class Service(Strict):
    """How a tree is run.

    Attributes:
        script: The program, relative to the tree, run by the runtime's interpreter.
        arguments: Its fixed arguments; ``{state}``, ``{tree}`` and ``{venv}`` stand for the folders of these names.
        cpu_arguments: Further arguments on targets without a GPU runtime.
        environment: Its environment, with the same placeholders.
        port: The TCP port that it answers on.
        port_option: The option that sets it.
        user: The system user that it runs as.
        groups: Further groups of that user, for devices.
        writable: Folders of the tree that the program writes to: each becomes a link into the state folder.
        precious: Folders of the state that hold the user's own work: purging the package keeps what is in them.
        start_timeout: Seconds that a start may take.
    """

    script: RelativePath
    arguments: tuple[ServiceText, ...] = ()
    cpu_arguments: tuple[ServiceText, ...] = ()
    environment: dict[VariableName, ServiceText] = Field(default_factory=dict)
    port: Annotated[int, Field(ge=1, le=65535)]
    port_option: ServiceText = "--port"
    user: Word
    groups: tuple[Word, ...] = ()
    writable: tuple[RelativePath, ...] = ()
    precious: tuple[FolderName, ...] = ()
    start_timeout: Annotated[int, Field(gt=0)] = 900


class Part(Strict):
    """A further source tree placed inside a tree."""

    source: Source
    at: RelativePath
    include: tuple[Line, ...] = ()


class TreePackage(BasePackage):
    """An application's source tree, read-only, with a service and a launcher.

    Attributes:
        version: Its upstream version, Debian syntax.
        source: Where the tree comes from; ``--source NAME=PATH|GIT-URL@COMMIT`` replaces it for one run.
        destination: Where it is installed.
        patches: A folder with a quilt series, relative to the stack's file.
        exclude: Patterns (fnmatch, below the tree) of files that are left out.
        parts: Further trees placed inside.
        license: SPDX expression of the tree.
    """

    recipe: Literal["tree"]
    version: Annotated[str, StringConstraints(pattern=r"^[0-9][A-Za-z0-9.+~]*$")]
    source: Source
    destination: AbsolutePath
    patches: Line | None = None
    exclude: tuple[Line, ...] = ()
    parts: tuple[Part, ...] = ()
    license: Line
    service: Service | None = None


Package = Annotated[
    RuntimePackage | MetaPackage | KeyringPackage | DoctorPackage | PatchPackage | TreePackage,
    Field(discriminator="recipe"),
]


class Stack(Strict):
    """One stack file.

    Attributes:
        name: The stack's name; its locks are ``locks/<name>.<target>.txt`` beside its file.
        prefix: The first part of every package name.
        install_prefix: Where the runtime is installed.
        maintainer: ``Name <address>`` (Policy 5.6.2).
        version: The version of the packages that have no upstream version of their own.
        date: The release's date: the time stamp of every file in its packages (TOML date or date-time, UTC).
        suffix: Appended to every version: ``~demo``.
        baseline: The CPU that must be able to run the result; its wheels are audited for it.
        emulate: Whether a release needs what ``debtool audit run`` said of each wheel: ``known``: it counts where it is
            known; ``required``: a wheel that was not run is refused.
        archive: The archive definition, relative to the stack's file.
        public: Where the archive is kept, relative to the stack's file.
    """

    schema_: Literal[1] = Field(alias="schema")
    name: Word
    title: Line
    prefix: Word
    install_prefix: AbsolutePath
    maintainer: Annotated[str, StringConstraints(pattern=r"^[^<>\n]+ <[^<>@\s]+@[^<>@\s]+>$")]
    homepage: Line
    version: Annotated[str, StringConstraints(pattern=r"^[0-9][A-Za-z0-9.+~]*$")]
    date: dt.datetime | dt.date
    suffix: Annotated[str, StringConstraints(pattern=r"^(~[a-z0-9]+)?$")] = ""
    baseline: Word | None = None
    emulate: Literal["known", "required"] = "known"
    targets: Annotated[tuple[Word, ...], Field(min_length=1)]
    archive: Line = "archive.toml"
    public: Line = "public"
    requirements: Requirements
    artefact: tuple[Artefact, ...] = ()
    wheel: dict[DistributionName, WheelSettings] = Field(default_factory=dict)
    exception: tuple[AuditException, ...] = ()
    rebuild: tuple[Rebuild, ...] = ()
    package: Annotated[tuple[Package, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Stack:
        names = [package.name for package in self.package]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two packages are called {name!r}")
        for package in self.package:
            for need in package.needs:
                if need.lstrip("=") not in names:
                    raise ValueError(f"package {package.name!r} needs {need!r}, which is no package of this stack")
        services = {one.name for one in self.package if one.recipe == "tree" and one.service is not None}
        for package in self.package:
            for name in package.restart if package.recipe == "patch" else ():
                if name not in services:
                    raise ValueError(f"package {package.name!r} restarts {name!r}, which is no tree with a service")
        if self.baseline is None and (self.exception or self.emulate == "required"):
            raise ValueError("without a baseline nothing is audited: name one, or leave out 'exception' and 'emulate'")
        return self

    @model_validator(mode="after")
    def _one_origin_for_each_wheel(self) -> Stack:
        seen: set[tuple[str, str]] = set()
        for artefact in self.artefact:
            for target in artefact.targets:
                if (artefact.name, target) in seen:
                    raise ValueError(f"two artefacts are called {artefact.name!r} for {target!r}")
                seen.add((artefact.name, target))
        for rebuild in self.rebuild:
            for target in rebuild.targets or self.targets:
                if (rebuild.wheel, target) in seen:
                    raise ValueError(f"{rebuild.wheel!r} is an artefact or rebuilt already for {target!r}")
                seen.add((rebuild.wheel, target))
        return self

    @model_validator(mode="after")
    def _known_targets(self) -> Stack:
        tables = [(f"artefact {one.name!r}", one.targets) for one in self.artefact]
        tables += [(f"exception of {one.wheel!r}", one.targets) for one in self.exception]
        tables += [(f"rebuild of {one.wheel!r}", one.targets) for one in self.rebuild]
        for what, targets in tables:
            for target in targets:
                if target not in self.targets:
                    raise ValueError(f"{what} is for {target!r}, which is not among the targets")
        return self

    @property
    def timestamp(self) -> int:
        """The release's date in seconds since 1970-01-01 UTC."""
        date: Any = self.date
        if not isinstance(date, dt.datetime):
            date = dt.datetime.combine(date, dt.time())
        if date.tzinfo is None:
            date = date.replace(tzinfo=dt.UTC)
        return int(date.timestamp())

    @property
    def venv(self) -> str:
        """The root of the runtime's venv on an installed machine."""
        return f"{self.install_prefix}/venv"

    def artefacts_for(self, target: str) -> dict[str, Artefact]:
        """Return the artefacts of one target by name."""
        return {artefact.name: artefact for artefact in self.artefact if target in artefact.targets}

    def rebuilds_for(self, target: str) -> dict[str, Rebuild]:
        """Return what is rebuilt from its sdist for one target, by distribution."""
        return {one.wheel: one for one in self.rebuild if target in (one.targets or self.targets)}

    def full_name(self, name: str) -> str:
        """Return the name of the stack's package ``name`` with the prefix."""
        return f"{self.prefix}-{name}"


def parse_stack(text: str, file: Path) -> Stack:
    """Return the stack described by ``text``, read from ``file``."""
    return parse_definition(text, file, Stack, "docs/stack.md")
