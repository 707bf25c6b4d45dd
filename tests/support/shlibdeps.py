"""dpkg-shlibdeps' own answer for a wheel, in a root that has the libraries."""

from __future__ import annotations

import re
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.build.image import USUAL_PACKAGES, RootImage
from debtool.model.versions import DebianVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from debtool.build.root import Root
    from debtool.model.target import Target
    from debtool.stack.facts import WheelFacts

SITE = "/peer/debian/wheel/usr/lib/python3/site-packages"
"""Where wheels are unpacked; dpkg-shlibdeps takes debian/wheel for the package because it has a DEBIAN folder."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What dpkg-shlibdeps said of one wheel.

    Attributes:
        depends: The lowest version of each package; None where it asks for none.
        seconds: Of wall time.
        messages: Its warnings and errors.
    """

    depends: Mapping[str, str | None]
    seconds: float
    messages: str


def image_with_libraries(target: Target, cache: Path) -> RootImage:
    """Return an image of the target's release with dpkg-dev and every library that the target's table names."""
    libraries = {soname.package.split("|")[0].strip() for soname in target.sonames.values()}
    return RootImage.ensure(
        target.codename, cache / "roots", packages=[*USUAL_PACKAGES, "dpkg-dev", "binutils", *sorted(libraries)]
    )


def ask(root: Root, wheel: WheelFacts) -> Peer:
    """Unpack ``wheel`` in ``root`` and run dpkg-shlibdeps on its libraries for x86-64."""
    root.run(["rm", "-rf", "/peer"])
    root.run(["mkdir", "-p", "/peer/debian/wheel/DEBIAN", SITE])
    root.path("/peer/debian/control").write_text("Source: wheel\n\nPackage: wheel\nArchitecture: amd64\n")
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(root.path(SITE))
    files = [f"{SITE}/{path}" for path, needs in wheel.elf.items() if needs.machine == "EM_X86_64"]
    folders = sorted({file.rpartition("/")[0] for file in files})
    root.path("/peer/run").write_text(
        "cd /peer && exec dpkg-shlibdeps -O --ignore-missing-info "
        + " ".join(f"'{word}'" for word in (*(f"-l{folder}" for folder in folders), *(f"-e{file}" for file in files)))
    )
    began = time.monotonic()
    done = root.run(["sh", "/peer/run"], check=False)
    seconds = time.monotonic() - began
    found = re.search(r"^shlibs:Depends=(.*)$", done.stdout, re.MULTILINE)
    if done.returncode:
        raise AssertionError(f"dpkg-shlibdeps failed on {wheel.name}: {done.stderr[-2000:]}")
    return Peer(lowest(found[1].split(", ") if found else ()), seconds, done.stderr)


def lowest(relations: Iterable[str]) -> dict[str, str | None]:
    """Return the lower bound of each package in ``relations``; of alternatives, the first counts."""
    bounds: dict[str, str | None] = {}
    for relation in relations:
        match = re.match(r"([a-z0-9.+-]+)(?: \(>= ([^)]+)\))?", relation)
        assert match, relation
        bounds[match[1]] = match[2]
    return bounds


def compare(ours: Mapping[str, str | None], theirs: Mapping[str, str | None]) -> dict[str, str]:
    """Return for each package how our bound stands to dpkg-shlibdeps': equal, tighter, looser, missing or extra."""
    verdicts = {}
    for package in ours.keys() | theirs.keys():
        if package not in ours:
            verdicts[package] = "missing"
        elif package not in theirs:
            verdicts[package] = "extra"
        else:
            one, other = (DebianVersion(bounds[package] or "0") for bounds in (ours, theirs))
            verdicts[package] = "equal" if one == other else "tighter" if one > other else "looser"
    return verdicts
