"""The control information of a package: what goes into control.tar beside the files' own sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from debian.deb822 import Deb822

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Mapping

Script = Literal["preinst", "postinst", "prerm", "postrm", "config"]

_ORDER = (
    "Package",
    "Source",
    "Version",
    "Architecture",
    "Essential",
    "Protected",
    "Maintainer",
    "Original-Maintainer",
    "Installed-Size",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
    "Built-Using",
    "Section",
    "Priority",
    "Multi-Arch",
    "Homepage",
)
"""Fields in the order in which dpkg-gencontrol writes them; others follow, and Description ends the stanza."""

_REQUIRED = ("Package", "Version", "Architecture", "Maintainer", "Description")


@dataclass(frozen=True, slots=True)
class Control:
    """What a recipe says about a package (Debian Policy 5.3, 6.1; deb-triggers(5)).

    Attributes:
        fields: The control fields but Installed-Size, which the writer counts. Empty values are left out.
        scripts: Maintainer scripts by name.
        triggers: The text of the triggers file, if any.
        conffiles: Paths of the configuration files; None means every regular file under /etc (Policy 10.7).
    """

    fields: Mapping[str, str]
    scripts: Mapping[Script, str] = field(default_factory=dict)
    triggers: str = ""
    conffiles: tuple[str, ...] | None = None


def render_stanza(fields: Mapping[str, str]) -> bytes:
    """Return the text of a control file; the order of ``fields`` does not matter.

    Raises ``InputError`` if a field that Debian Policy 5.3 requires is missing, or a value cannot be one.
    """
    name = fields.get("Package", "?")
    present = {key: value for key, value in fields.items() if value}
    if missing := [key for key in _REQUIRED if key not in present]:
        raise InputError(
            *(
                Issue(f"package {name} has no {key}", fix=f"set {key}", field=key, rule="Debian Policy 5.3")
                for key in missing
            )
        )
    rank = {key: position for position, key in enumerate((*_ORDER, "", "Description"))}
    stanza = Deb822()
    for key in sorted(present, key=lambda key: (rank.get(key, rank[""]), key)):
        try:
            stanza[key] = present[key]
        except ValueError as error:
            fix = "begin every line but the first with a space, and write an empty line as ' .'"
            raise InputError(Issue(f"package {name}: {error}", fix=fix, field=key, rule="Debian Policy 5.1")) from error
    return stanza.dump().encode("utf-8")
