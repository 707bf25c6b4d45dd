"""Where copies are looked for: ``*.conf`` files of ``key = value`` lines."""

from __future__ import annotations

import re

from .errors import OutsideError, PatchError, UsageError
from .values import dataclass

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from .files import Tree

KEYS = ("root", "search", "path")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a folder of packages or an environment (``root``), a folder to search (``search``), or one copy."""

    key: str
    value: str
    origin: str

    @property
    def of_user(self) -> bool:
        """It is below the home of whoever runs the program."""
        return self.value.startswith("~/")


def read(tree: Tree, folder: str) -> list[Entry]:
    """Return the entries of every ``*.conf`` file in a folder, by name; later files add. Raises UsageError."""
    entries = []
    for name in tree.names(folder):
        if name.endswith(".conf"):
            file = f"{folder}/{name}"
            entries.extend(parse(_text(tree, file), file))
    return entries


def parse(text: str, file: str) -> list[Entry]:
    """Return the entries of one file's text. Raises UsageError, which names the first wrong line."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        origin = f"{file}, line {number}"
        key, separator, value = (part.strip() for part in content.partition("="))
        if not separator or key not in KEYS:
            raise UsageError(f"{origin}: {content!r}: expected 'KEY = VALUE' with one of the keys {', '.join(KEYS)}")
        if not value.startswith(("/", "~/")) or re.search(r"[\x00-\x1f]|/\.\.(/|$)", value):
            raise UsageError(f"{origin}: {value!r}: expected an absolute path without '..', or one below ~/")
        entries.append(Entry(key, value, origin))
    return entries


def _text(tree: Tree, file: str) -> str:
    folder, _, name = file.rpartition("/")
    try:
        with tree.folder(folder) as opened:
            return opened.read(name).data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8: {error}; fix: save it as UTF-8") from error
    except (OSError, PatchError, OutsideError) as error:
        raise UsageError(f"{file}: cannot be read: {error}; fix: make it a readable file") from error
