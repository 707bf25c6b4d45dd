"""How numbers, and words that strangers wrote, are told to people."""

from __future__ import annotations


def human_bytes(size: float) -> str:
    """Return a size in the units of SI, three digits.

    >>> human_bytes(191_794_682), human_bytes(999), human_bytes(999_999)
    ('192 MB', '999 B', '1 MB')
    """
    for unit in ("B", "kB", "MB"):
        if size < 999.5:  # noqa: PLR2004 -- SI prefixes are powers of a thousand
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def amount(number: int, noun: str) -> str:
    """Return how many there are, in words.

    >>> amount(1, "function"), amount(31376, "function")
    ('1 function', '31,376 functions')
    """
    return f"{thousands(number)} {noun}{'' if number == 1 else 's'}"


def thousands(number: int) -> str:
    """Return a number that people read."""
    return f"{number:,}"


def visible(text: str) -> str:
    r"""Return ``text``, which strangers wrote, without what a terminal obeys and what turns text around.

    >>> visible("f\x1b[31m\u202e")
    'f\\x1b[31m\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
