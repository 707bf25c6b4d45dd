"""A package of a release before it is built: what goes into it, and what its version must depend on."""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from debtool.deb.documents import add_text, debian_changelog, documentation
from debtool.deb.lintian import overrides, rules_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from debtool.deb.contents import Contents
    from debtool.deb.control import Control
    from debtool.deb.lintian import Trait
    from debtool.deb.payload import Sink
    from debtool.model.stack import BasePackage, Stack
    from debtool.model.target import Target
    from debtool.model.versions import DebianVersion

KEY_FIELD = "Debtool-Input-Key"


@dataclass(frozen=True, slots=True)
class Build:
    """What a package learns when its release is planned.

    Attributes:
        version: Its own version.
        versions: The versions of the packages that it depends on exactly, by name.
        date: Seconds since 1970 for every file in it.
        key: Its input key.
    """

    version: DebianVersion
    versions: Mapping[str, DebianVersion]
    date: int
    key: str

    @property
    def day(self) -> str:
        """The date as a manual page's head has it (man(7))."""
        return time.strftime("%Y-%m-%d", time.gmtime(self.date))


@dataclass(frozen=True, kw_only=True)
class Draft(ABC):
    """One package of a release; every recipe has its own kind.

    Attributes:
        recipe: The recipe's name.
        format: Raised by hand whenever the recipe makes other bytes of the same inputs.
        name: The package's full name.
        upstream: The upstream part of its version.
        architecture: ``all`` or the target's.
        exact: Packages of this release that it depends on in exactly the release's version.
    """

    recipe: ClassVar[str]
    format: ClassVar[int] = 2

    stack: Stack
    target: Target
    name: str
    upstream: str
    architecture: str = "all"
    exact: tuple[str, ...] = field(default=())

    @property
    def weight(self) -> int:
        """Roughly how many bytes go through the build: the largest packages are begun first."""
        return 0

    @abstractmethod
    def inputs(self) -> dict[str, str]:
        """Return what decides this package's bytes beside stack, target and recipe: a digest or text for each name."""

    @abstractmethod
    def emit(self, sink: Sink, build: Build) -> None:
        """Offer the package's files but its documentation and lintian overrides."""

    @abstractmethod
    def control(self, build: Build, contents: Contents) -> Control:
        """Return the control information, the files being known."""

    @abstractmethod
    def copyright_text(self) -> str:
        """Return the copyright file (machine-readable, DEP-5)."""

    def traits(self) -> frozenset[Trait]:
        """Return what the package holds that lintian must be told about, beside being a package of ours."""
        return frozenset()

    def all_inputs(self) -> dict[str, str]:
        """Return everything that decides this package's bytes but its version and date."""
        stack, target = self.stack, self.target
        return {
            "recipe": f"{self.recipe}/{self.format}",
            "stack": digest(stack.prefix, stack.install_prefix, stack.maintainer, stack.homepage),
            "target": digest(target.name, target.python, target.compression, stack.suffix),
            "upstream": self.upstream,
            "lintian overrides": rules_digest(),
            **self.inputs(),
        }

    def key(self, versions: Mapping[str, DebianVersion]) -> str:
        """Return the input key: equal keys mean the same package; ``versions`` are those of `exact`."""
        exact = {name: str(versions[name]) for name in self.exact}
        return digest(json.dumps([self.all_inputs(), exact], sort_keys=True))

    def fields(self, build: Build, **more: str) -> dict[str, str]:
        """Return the control fields that every package has, with ``more`` (underscores for hyphens)."""
        return {
            "Package": self.name,
            "Version": str(build.version),
            "Architecture": self.architecture,
            "Maintainer": self.stack.maintainer,
            "Homepage": self.stack.homepage,
            "Priority": "optional",
            KEY_FIELD: build.key,
            **{key.replace("_", "-"): value for key, value in more.items()},
        }


@dataclass(frozen=True, kw_only=True)
class StackDraft(Draft):
    """A draft of a package that the stack file describes by name."""

    package: BasePackage

    def inputs(self) -> dict[str, str]:
        """Return the digest of the package's definition; recipes add theirs."""
        return {"definition": digest(self.package.model_dump_json())}

    def stack_fields(self, build: Build, depends: Iterable[str] = ()) -> dict[str, str]:
        """Return the control fields, ``depends`` coming before what the stack file asks for."""
        needs = []
        for need in self.package.needs:
            name = self.stack.full_name(need.lstrip("="))
            needs.append(f"{name} (= {build.versions[name]})" if need.startswith("=") else name)
        return self.fields(
            build,
            Section=self.package.section,
            Depends=", ".join(dict.fromkeys([*depends, *needs, *self.package.depends])),
            Recommends=", ".join(self.package.recommends),
            Description=description_field(self.package.summary, self.package.description),
        )

    @staticmethod
    def exact_needs(stack: Stack, package: BasePackage) -> tuple[str, ...]:
        """Return the full names of the packages that ``package`` needs in exactly this release's version."""
        return tuple(stack.full_name(need[1:]) for need in package.needs if need.startswith("="))

    def copyright_text(self) -> str:
        """Return the copyright file of debtool's own files."""
        return own_copyright(self.stack)


@dataclass(frozen=True, slots=True)
class DraftPayload:
    """All files of a draft's package, as `debtool.deb.writer.write_deb` takes them."""

    draft: Draft
    build: Build

    def emit(self, sink: Sink) -> None:
        """Offer every file."""
        draft, build = self.draft, self.build
        draft.emit(sink, build)
        text = overrides(draft.name, {"package", *draft.traits()})
        add_text(sink, f"/usr/share/lintian/overrides/{draft.name}", text)
        changelog = debian_changelog(
            draft.name,
            str(build.version),
            draft.stack.maintainer,
            build.date,
            f"Release {draft.upstream} for {draft.target.title}.",
        )
        documentation(sink, draft.name, copyright_text=draft.copyright_text(), changelog=changelog)


def digest(*parts: str | bytes) -> str:
    """Return the SHA-256 of ``parts``, each kept apart from the next."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()


def description_field(summary: str, description: str) -> str:
    """Return a Description field (Policy 5.6.13): the summary, then the paragraphs, empty lines as `` .``."""
    lines = [summary]
    lines += [f" {line.rstrip()}" if line.strip() else " ." for line in description.strip().splitlines()]
    return "\n".join(lines)


def own_copyright(stack: Stack) -> str:
    """Return the copyright file for files that come with debtool (DEP-5)."""
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        f"Upstream-Name: {stack.title}\n"
        f"Source: {stack.homepage}\n\n"
        "Files: *\n"
        f"Copyright: {stack.date.year} {stack.maintainer}\n"
        "License: GPL-3+\n"
        " These files come with debtool of Cheese Grater: free software under the GNU General Public License as\n"
        " published by the Free Software Foundation, version 3 or any later version.\n"
        " .\n"
        " On Debian systems, the full text of that license is in /usr/share/common-licenses/GPL-3.\n"
    )
