"""The copyright file of a wheel's package, in the machine-readable format (DEP-5) from the wheel's licence files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from debtool.wheel.metadata import homepage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

    from debtool.wheel.source import Wheel

_FORMAT = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"

_LICENCE_FILE = re.compile(
    r"(?:^|/)(?:licen[cs]es?|license_files|copying|copyright|notices?|authors)(?=$|[./_-])", re.IGNORECASE
)
_NOTICE = re.compile(r"^\W*((?:copyright|\(c\)|\N{COPYRIGHT SIGN}).*\b(?:19|20)\d\d\b.*)$", re.IGNORECASE)
_NOTICE_WITHOUT_YEAR = re.compile(
    r"^\W*(Copyright\s+(?:\([cC]\)|\N{COPYRIGHT SIGN})\s+(?![\[{<]).+"
    r"|Copyright\s+(?=.*\b(?:authors|contributors|developers|project|team)\b).+)$"
)
_NOTICE_LIMIT = 60

_COMMON_FOLDER = "/usr/share/common-licenses"
_ON_EVERY_SYSTEM = ("Apache-2.0", "GPL-2", "GPL-3", "LGPL-2", "LGPL-2.1", "LGPL-3", "GFDL-1.2", "GFDL-1.3", "MPL-2.0")
_COMMON = tuple(
    (re.compile(rf"{title}\s+Version {version},.*?(?:END OF TERMS AND CONDITIONS|\Z)", re.DOTALL), short)
    for title, version, short in (
        ("Apache License", r"2\.0", "Apache-2.0"),
        ("GNU GENERAL PUBLIC LICENSE", "2", "GPL-2"),
        ("GNU GENERAL PUBLIC LICENSE", "3", "GPL-3"),
        ("GNU LIBRARY GENERAL PUBLIC LICENSE", "2", "LGPL-2"),
        ("GNU LESSER GENERAL PUBLIC LICENSE", r"2\.1", "LGPL-2.1"),
        ("GNU LESSER GENERAL PUBLIC LICENSE", "3", "LGPL-3"),
        ("GNU Free Documentation License", r"1\.2", "GFDL-1.2"),
        ("GNU Free Documentation License", r"1\.3", "GFDL-1.3"),
    )
)
"""Licences that every Debian system has in full, which a copyright file must point to (Debian Policy 12.5)."""

_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU Affero General Public License v3": "AGPL-3",
    "GNU General Public License v2 (GPLv2)": "GPL-2",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2+",
    "GNU General Public License v3 (GPLv3)": "GPL-3",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3+",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2+",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3+",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "Expat",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}


def copyright_file(wheel: Wheel) -> str:
    """Return the text of ``/usr/share/doc/PACKAGE/copyright``.

    It has one paragraph for all files: wheels say which licences apply, but not to which of their files. The texts are
    those of the wheel; where one is a licence that Debian systems have in full, the file points there instead.
    """
    texts = _licence_texts(wheel)
    lines = [f"Format: {_FORMAT}", f"Upstream-Name: {wheel.metadata['Name']}"]
    if contact := _contact(wheel.metadata):
        lines.append(f"Upstream-Contact: {contact}")
    if source := homepage(wheel):
        lines.append(f"Source: {source}")
    lines += [
        "Comment:",
        f" The files come from the wheel {wheel.path.name}.",
        "",
        "Files: *",
        *_field("Copyright", _notices(texts.values()) or [f"the authors of {wheel.metadata['Name']}"]),
        f"License: {licence_name(wheel.metadata)}",
    ]
    if not texts:
        lines += _indented(_without_text(wheel.metadata))
    for name, text in texts.items():
        lines += [f" [{name}]", " .", *_indented(text), " ."]
    if not any(_COMMON_FOLDER in text for text in texts.values()):
        lines += [" .", *_indented(_pointer(licence_name(wheel.metadata)))]
    while lines[-1] == " .":
        lines.pop()
    return "\n".join(lines) + "\n"


def licence_name(metadata: Message) -> str:
    """Return the licence as DEP-5 has it, from License-Expression (PEP 639), the classifiers, or the License field."""
    if expression := str(metadata.get("License-Expression") or ""):
        text = re.sub(r"\b(AND|OR)\b", lambda found: found[1].lower(), expression)
        text = re.sub(r"\bMIT\b(?!-)", "Expat", text)
        return re.sub(r"\bWITH (\S+)", r"with \1 exception", text).replace("-exception exception", " exception")
    prefix = "License :: OSI Approved :: "
    found = [
        _CLASSIFIERS[classifier.removeprefix(prefix)]
        for classifier in map(str, metadata.get_all("Classifier", []))
        if classifier.removeprefix(prefix) in _CLASSIFIERS
    ]
    if found:
        return " and ".join(dict.fromkeys(found))
    declared = str(metadata.get("License") or "")
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9.+-]{1,30}", declared) and declared.lower() not in ("unknown", "none"):
        return declared
    return "other"


def _licence_texts(wheel: Wheel) -> dict[str, str]:
    """Return the wheel's licence files by name below .dist-info, equal ones once, common licences replaced."""
    texts: dict[str, str] = {}
    seen: set[str] = set()
    for name in sorted(wheel.dist_info_files()):
        if not _LICENCE_FILE.search(name):
            continue
        text = wheel.read_dist_info(name).strip("\n")
        if text.strip() and text not in seen:
            seen.add(text)
            texts[name] = _point_to_common(text)
    return texts


def _point_to_common(text: str) -> str:
    for pattern, short in _COMMON:
        place = f"{_COMMON_FOLDER}/{short}"
        text = pattern.sub(f"[On Debian systems, the full text of this license is in {place}.]", text)
    return text


def _notices(texts: Iterable[str]) -> list[str]:
    """Return the copyright notices in the licence files, each once: those with a year, else those without."""
    lines = [line for text in texts for line in text.splitlines()]
    for pattern in (_NOTICE, _NOTICE_WITHOUT_YEAR):
        if found := [" ".join(notice[1].split()) for line in lines if (notice := pattern.match(line))]:
            break
    mark = re.compile(r"^(?:(?:copyright|\(c\)|[:\N{COPYRIGHT SIGN}])\s*)+", re.IGNORECASE)
    notices = list(dict.fromkeys(mark.sub("", words) for words in found))
    if len(notices) > _NOTICE_LIMIT:
        notices[_NOTICE_LIMIT:] = [f"and {len(notices) - _NOTICE_LIMIT} more, named in the texts below"]
    return notices


def _without_text(metadata: Message) -> str:
    """Return what stands for the licence when a wheel carries no text of it."""
    declared = [str(metadata.get(field)) for field in ("License-Expression", "License") if metadata.get(field)]
    declared += [value for value in map(str, metadata.get_all("Classifier", [])) if value.startswith("License")]
    return "The wheel carries no text of its license. Its METADATA says:\n" + "\n".join(declared or ["nothing"])


def _pointer(name: str) -> str:
    """Return where Debian systems have the licence called ``name``, empty if they do not."""
    found = next((short for short in _ON_EVERY_SYSTEM if name.startswith(short)), None)
    return f"On Debian systems, the full text of {found} is in {_COMMON_FOLDER}/{found}." if found else ""


def _contact(metadata: Message) -> str:
    """Return who wrote it, as far as METADATA says, on one line."""
    for field in ("Author-email", "Author", "Maintainer-email", "Maintainer"):
        value = " ".join(str(metadata.get(field) or "").split())
        if value and value.lower() not in ("unknown", "none"):
            return value
    return ""


def _field(name: str, values: list[str]) -> list[str]:
    return [f"{name}: {values[0]}", *(f" {value}" for value in values[1:])]


def _indented(text: str) -> list[str]:
    """Return ``text`` as continuation lines of a field (DEP-5, "Formatted text")."""
    lines = []
    for raw in text.splitlines():
        line = "".join(character for character in raw.expandtabs(8) if character.isprintable()).rstrip()
        lines.append(f"  {line}" if line == "." else f" {line}" if line else " .")
    return lines
