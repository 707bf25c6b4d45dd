"""The program: ``status``, ``apply``, ``verify``, ``restore``, ``list``, ``watch``, ``hook``.

Exit status: 0 nothing to do or done, 1 findings, 2 usage, 3 the system stood in the way. ``apply --trigger`` records
what went wrong and exits 0, because a failing trigger leaves the package half-configured and stops dpkg.
"""

# ruff: noqa: PLC0415, PTH111, PTH123
# Pathlib costs half a start of Python; what only some runs need is loaded there.
from __future__ import annotations

import gc
import json
import os
import sys
import time

from . import stamps
from .options import plain

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from typing import NoReturn

    from .options import Options


def run(document: str | os.PathLike[str]) -> NoReturn:
    """Run with this process's arguments. In a dpkg trigger even a defect of this program must not stop dpkg."""
    arguments = sys.argv[1:]
    # Nothing here lives long enough to be worth collecting, or tidying up at the end: a third of a run's time.
    gc.disable()
    try:
        status = main(os.fspath(document), arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # Whoever reads has gone.
        status = 0 if "--trigger" in arguments else 3
    except Exception:
        if "--trigger" not in arguments:
            raise
        import traceback

        traceback.print_exc()
        status = 0
    sys.stderr.flush()
    os._exit(status)


def main(document: str, arguments: list[str]) -> int:
    """Run the program and return its exit status."""
    options = plain(arguments)
    if options is not None and options.command == "apply" and options.everything and not options.json:
        copies = _nothing_changed(document, options)
        if copies is not None:
            if not options.quiet_unless_changed:
                print(f"nothing has changed since the last run: {copies} copies are well")
            return 0
    from . import commands

    return commands.main(document, arguments, options, time.time_ns())


def state_folder(prefix: str, name: str, root: str | None, state: str | None) -> str:
    """Return where records and copies are: the machine's for root or below another root, else the user's own."""
    if state is not None:
        return state
    if os.geteuid() == 0 or root not in {None, "/"}:
        return f"{(root or '').rstrip('/')}/var/lib/{prefix}/{name}"
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return f"{home}/{prefix}/{name}"


def question(root: str | None, level: str) -> dict[str, str]:
    """Return what must be the same for the last run to speak for this one."""
    return {"root": root or "/", "level": level, "user": str(os.geteuid())}


def _nothing_changed(document: str, options: Options) -> int | None:
    try:
        with open(document, encoding="utf-8") as stream:
            recipe = json.load(stream)
        folder = state_folder(recipe["prefix"], recipe["name"], options.root, options.state)
        return stamps.unchanged(f"{folder}/stamps.json", question(options.root, recipe["ships"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the whole program says what is wrong
