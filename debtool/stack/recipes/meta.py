"""The meta package: exactly the tested set of wheels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from debtool.deb.control import Control
from debtool.stack.draft import Build, StackDraft

if TYPE_CHECKING:
    from debtool.deb.contents import Contents
    from debtool.deb.lintian import Trait
    from debtool.deb.payload import Sink


@dataclass(frozen=True, kw_only=True)
class MetaDraft(StackDraft):
    """No files; depends on every package in `exact` in exactly the release's version."""

    recipe: ClassVar[str] = "meta"

    def emit(self, sink: Sink, build: Build) -> None:
        """Offer nothing."""

    def traits(self) -> frozenset[Trait]:
        """Return that it is a set, which lintian must be told about."""
        return frozenset({"set"})

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information."""
        return Control(self.stack_fields(build, [f"{name} (= {build.versions[name]})" for name in sorted(self.exact)]))
