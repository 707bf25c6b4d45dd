"""A target: the system that packages are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from packaging.tags import Tag, compatible_tags, cpython_tags
from pydantic import Field, StringConstraints

from debtool.model.definition import Strict, parse_definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Line = Annotated[str, StringConstraints(pattern=r"^[^\n]+$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]
Tag_ = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.]*$")]
TwoNumbers = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
Dotted = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)+$")]
Gpu = Annotated[str, StringConstraints(pattern=r"^gfx[0-9a-f]+$")]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{40}$")]

# zstd members: dpkg-deb(1), "zstd ... since dpkg 1.21.18".
_ZSTD_SINCE = (1, 21, 18)


class Soname(Strict):
    """Which package of the target has a shared library.

    Attributes:
        package: The package, or alternatives separated by ``|``.
        minimum: The lowest version that will do for whoever needs the library at all, if one is known.
        below: The first version that no longer has it, where the package's name does not say so.
        hint: The name of a package that does not exist, as the last alternative: apt prints it where the others are
            not to be had, so it says what to do.
        also: Further relations (Debian syntax) of whoever needs the library.
        versions: For each symbol version that the library has, the lowest package version that has it; empty where the
            library has none, or they are not known.
        symbols: For single symbols that came later, the lowest package version: for ``name@VERSION`` where it is above
            that of the symbol version, for symbols without a version where it is above ``minimum``.
        source: Where this is known from.
        verified: False where no archive was at hand to check it against.
    """

    package: Line
    minimum: Line | None = None
    below: Line | None = None
    hint: Word | None = None
    also: Line | None = None
    versions: dict[str, Line] = Field(default_factory=dict)
    symbols: dict[str, Line] = Field(default_factory=dict)
    source: Line
    verified: bool = True


class AptSource(Strict):
    """Another vendor's apt archive that machines of this target need.

    Attributes:
        uri: The archive's address.
        suite: Its suite.
        components: Its components.
        fingerprint: The full fingerprint of the key that signs it.
        key_uri: Where that key is fetched from; it is used only if it has this fingerprint.
        pin: The priority that its packages get over the distribution's own of the same name (apt_preferences(5)).
        pin_origin: The ``Origin`` of its Release file, which the pin names.
    """

    uri: Line
    suite: Line
    components: tuple[Word, ...] = ("main",)
    fingerprint: Fingerprint
    key_uri: Line
    pin: int
    pin_origin: Line


class Rocm(Strict):
    """The ROCm release of a target.

    Attributes:
        release: Its point release, as its folder and its side-by-side packages are named: ``6.3.4``.
        gpu: What the machine's GPU reports, so what device code must be for.
        source: AMD's archive.
        sonames: Its libraries, and the packages that have them.
    """

    release: Dotted
    gpu: Gpu
    source: AptSource
    sonames: dict[str, Soname]

    @property
    def folder(self) -> str:
        """Where this release is installed; ``/opt/rocm`` is an alternative that leads there."""
        return f"/opt/rocm-{self.release}"


class Target(Strict):
    """One target file.

    Attributes:
        extends: The target that this one adds to: what is not said here is as it is there.
        name: What the user calls it; suites are ``<name>-<channel>``.
        tag: Its short form in versions: ``1.26.4-1~<tag>``.
        distribution: ``debian`` or ``ubuntu``.
        codename: The distribution's release.
        python: The minor version of its ``python3``; ``python_full`` is the exact one, for markers.
        glibc: Its C library's version, which says which manylinux wheels it runs.
        dpkg: Its dpkg's version, which says which compression it reads.
        depends: Relations that every compiled package of this target gets.
        notes: What a user must know of this target.
        sonames: Shared libraries and the packages that have them.
    """

    schema_: Literal[1] = Field(alias="schema")
    extends: Word | None = None
    name: Word
    title: Line
    tag: Tag_
    distribution: Literal["debian", "ubuntu"]
    codename: Word
    architecture: Literal["amd64"]
    python: TwoNumbers
    python_full: Dotted
    glibc: TwoNumbers
    dpkg: Dotted
    notes: tuple[str, ...] = ()
    rocm: Rocm | None = None
    sonames: dict[str, Soname]

    @property
    def libraries(self) -> dict[str, Soname]:
        """Every library that is known of the target, ROCm's included, by soname."""
        return self.sonames | (self.rocm.sonames if self.rocm else {})

    @property
    def site_packages(self) -> str:
        """The site-packages folder below a venv's root."""
        return f"lib/python{self.python}/site-packages"

    @property
    def compression(self) -> Literal["zstd", "xz"]:
        """The best compression that this target's dpkg reads."""
        version = tuple(int(part) for part in self.dpkg.split("."))
        return "zstd" if version >= _ZSTD_SINCE else "xz"

    def environment(self) -> dict[str, str]:
        """Return the marker environment of the target (PEP 508); nothing of the build machine is in it."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.python_full,
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.python_full,
            "python_version": self.python,
            "sys_platform": "linux",
        }

    def tags(self) -> Iterator[Tag]:
        """Yield the wheel tags that the target runs, the most specific first (PEP 425, PEP 600)."""
        major, minor = map(int, self.python.split("."))
        platforms = list(self._platforms())
        yield from cpython_tags((major, minor), platforms=platforms)
        yield from compatible_tags((major, minor), f"cp{major}{minor}", platforms)

    def _platforms(self) -> Iterator[str]:
        legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        for minor in range(int(self.glibc.split(".")[1]), 4, -1):
            yield f"manylinux_2_{minor}_x86_64"
            if minor in legacy:
                yield f"{legacy[minor]}_x86_64"
        yield "linux_x86_64"


def parse_target(text: str, file: Path, base: Mapping[str, Any] | None = None) -> Target:
    """Return the target described by ``text``, read from ``file``; ``base`` is what it adds to (`merged`)."""
    return parse_definition(text, file, Target, "docs/targets.md", base)
