"""What systemd's path unit watches beside the usual folders: the folders of packages that were found on this machine.

A path unit cannot name folders by a pattern, and an environment anywhere may get another version. So the service that
patches tells its path unit, in a drop-in below /run that is gone after the next boot, where it has found folders.
"""

# ruff: noqa: PTH103, PTH123
# Pathlib costs half a start of Python, and this runs after every change that systemd notices.
from __future__ import annotations

import os
import subprocess
import sys

from . import configuration, places, recipe
from .errors import OutsideError, UsageError
from .files import Folder, Tree

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import NoReturn

    from .recipe import Recipe

LIMIT = 32
"""Folders that are watched at most: each costs its user one of 128 watchers (fs.inotify.max_user_instances)."""

OF_DPKG = "/usr/lib/"
"""Below it dpkg installs, and its triggers tell of that."""


def run(document: str) -> NoReturn:
    """Bring the path unit up to date; this process's arguments are the folders that it names itself."""
    try:
        status = follow(recipe.load(document), sys.argv[1:])
    except (OSError, UsageError, OutsideError) as error:
        print(f"{document}: {error}", file=sys.stderr)
        status = 3
    sys.exit(status)


def follow(patch: Recipe, usual: Collection[str]) -> int:
    """Write the drop-in of this user's path unit, and let systemd read it if it is another one.

    Raises OSError, OutsideError, UsageError.
    """
    tree = Tree("/")
    system = tree.user == 0
    runtime = "/run" if system else os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{tree.user}")
    unit = f"{patch.package}.path"
    folder = f"{runtime}/systemd/{'system' if system else 'user'}/{unit}.d"
    wanted = drop_in(found(patch, tree, os.path.expanduser("~"), usual))  # noqa: PTH111
    if not update(f"{folder}/50-found.conf", wanted):
        return 0
    systemctl = ["systemctl", *([] if system else ["--user"])]
    calls = (["daemon-reload"], ["--no-block", "try-restart", unit])
    done = [subprocess.call([*systemctl, *call]) for call in calls]
    return 3 if any(done) else 0


def found(patch: Recipe, tree: Tree, home: str, usual: Collection[str]) -> list[str]:
    """Return the folders of packages that the configuration leads to, those with a copy first; ``LIMIT`` at most.

    Left out are the ``usual`` ones, those that dpkg's triggers tell of, and those that this user cannot write to, whose
    copies are another's matter. Raises UsageError.
    """
    look = places.Places(tree, patch.file, home.rstrip("/"))
    copies = look.find(configuration.read(tree, f"/etc/{patch.prefix}/{patch.name}.d"))
    having = [look.site(copy.path) for copy in copies]
    sites = [path for path, status in look.looked.items() if status is not None and path.endswith("-packages")]
    wanted = dict.fromkeys([*having, *sites])
    # A line end in a name would be a line of the unit.
    good = [path for path in wanted if path.isprintable() and path not in usual and not path.startswith(OF_DPKG)]
    good = [path for path in good if os.access(tree.at(path), os.W_OK, effective_ids=True)]
    if len(good) > LIMIT:
        print(f"{len(good)} folders of packages are found, and {LIMIT} of them are watched", file=sys.stderr)
    return good[:LIMIT]


def drop_in(folders: Sequence[str]) -> str:
    """Return the text of the drop-in; systemd reads % as the beginning of a specifier (systemd.unit(5))."""
    lines = [f"PathChanged={folder.replace('%', '%%')}\n" for folder in sorted(folders)]
    return "".join(["[Path]\n", *lines])


def update(file: str, text: str) -> bool:
    """Make ``file`` hold ``text`` in one step, and say whether it did not before. Raises OSError, OutsideError."""
    try:
        with open(file, encoding="utf-8") as stream:
            if stream.read() == text:
                return False
    except FileNotFoundError:
        if text == drop_in([]):
            return False
    folder, _, name = file.rpartition("/")
    os.makedirs(folder, mode=0o755, exist_ok=True)
    with Folder.at(folder) as opened:
        opened.replace(name, text.encode(), marker="new")
    return True
