"""A wheel's METADATA as a package describes itself: Description and Homepage."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

    from debtool.wheel.source import Wheel

_SYNOPSIS_LIMIT = 79
_WIDTH = 76
_PARAGRAPH = range(80, 1200)
"""Characters of a README paragraph that is taken for prose."""

_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|`([^`<]+?)\s*<[^>]+>`_+|\[([^\]]*)\]\[[^\]]*\]")
_EMPHASIS = re.compile(r"(?<!\w)(\*\*|__|\*|_|``|`)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_MARKUP = re.compile(r"[<>|{}\[\]#`=*~\\^]|::|\.\. |https?:|@|\bI\b|\w_\b")
_HOMEPAGE_LABELS = ("homepage", "home", "repository", "source", "sourcecode", "github", "documentation", "docs")
_DANGLING = re.compile(r"[\s,;:(/-]+(?:and|or|for|with|of|to|in|on|a|an|the|from|by|your|using)?$", re.IGNORECASE)


def synopsis(wheel: Wheel) -> str:
    """Return one line of less than 80 characters without an article or a full stop (Debian Policy 5.6.13)."""
    text = _one_line(str(wheel.metadata.get("Summary", "")))
    text = re.split(r"(?<=[.!?])\s", text)[0].rstrip(" .!,;:")
    text = re.sub(r"^\W+", "", text)
    # "foo: what foo is" repeats what the package is called.
    name = re.escape(str(wheel.metadata["Name"]))
    text = re.sub(rf"^{name}\s*(?::|--?|\N{{EN DASH}}|\N{{EM DASH}}|\bis\b)\s*", "", text, flags=re.IGNORECASE)
    text = _ARTICLE.sub("", text)
    if " " not in text:
        text = f"Python distribution {wheel.metadata['Name']}"
    if len(text) > _SYNOPSIS_LIMIT:
        text = f"{textwrap.shorten(text, _SYNOPSIS_LIMIT, placeholder='')} "
        while (shorter := _DANGLING.sub("", text)) != text:
            text = shorter
    return text


def description(wheel: Wheel) -> str:
    """Return the Description field's value: the synopsis, and what summary and README say in plain prose."""
    name, first = str(wheel.metadata["Name"]), synopsis(wheel)
    summary = _one_line(str(wheel.metadata.get("Summary", "")))
    paragraphs = [f"{name}: {summary}"] if len(summary) > _SYNOPSIS_LIMIT and summary.isprintable() else []
    paragraphs += next(([text] for text in _readme_paragraphs(wheel.metadata) if _introduces(text, name)), [])
    paragraphs.append(
        f"This package holds {name} {wheel.version} as its wheel has it, in a Python environment of its own: the "
        "modules are not on the path of the system's Python."
    )
    lines = [first]
    for position, paragraph in enumerate(paragraphs):
        lines += [" ."] * bool(position)
        lines += [f" {line}" for line in textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)]
    return "\n".join(lines)


def homepage(wheel: Wheel) -> str | None:
    """Return the address of the project, None if METADATA has none that Debian Policy 5.6.23 allows."""
    urls: dict[str, str] = {}
    if own := str(wheel.metadata.get("Home-page") or ""):
        urls["homepage"] = own
    for entry in wheel.metadata.get_all("Project-URL", []):
        label, _, url = str(entry).partition(",")
        # Labels compare without punctuation and case (well-known labels, "Label normalization").
        urls.setdefault(re.sub(r"[\W_]+", "", label).lower(), url)
    for label in _HOMEPAGE_LABELS:
        url = urls.get(label, "").strip()
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and "." in parts.netloc and not re.search(r"[\s<>]", url):
            return url
    return None


def _readme_paragraphs(metadata: Message) -> Iterator[str]:
    """Yield the paragraphs of the long description that are plain prose once links and emphasis are taken out."""
    text = str(metadata.get("Description") or metadata.get_payload())
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        plain = _LINK.sub(lambda found: found[1] or found[2] or found[3] or "", block)
        plain = _one_line(_EMPHASIS.sub(r"\2", plain))
        indented = block.startswith((" ", "\t"))
        if len(plain) not in _PARAGRAPH or not plain.endswith(".") or indented or not plain.isprintable():
            continue
        # What still looks like markup was none that is understood here.
        if not _MARKUP.search(plain):
            yield plain


def _introduces(paragraph: str, name: str) -> bool:
    """Say whether a paragraph tells what the distribution is, rather than how to install it or whom to thank."""
    return (
        re.match(rf"(?:the )?{re.escape(name.lower())}\b|this (?:package|library|module|project) ", paragraph.lower())
        is not None
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
