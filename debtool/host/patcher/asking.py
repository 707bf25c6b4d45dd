"""How functions answer calls. Any interpreter runs this text as a program: it names no other module of ours."""

# ruff: noqa: BLE001
# Whatever goes wrong in the code that is asked is its answer.
from __future__ import annotations

import json
import os
import re
import sys

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from typing import Any


def answers(scope: dict[str, Any], calls: str) -> list[tuple[bool, str, str]]:
    """Call functions of ``scope``; ``calls`` is a JSON list of [dotted name, arguments].

    Returns of each call whether it ended well, its value as text and its value as repr(), without objects' addresses,
    which are other ones in each run; of an exception twice the name of its type. No call sees what another one did to
    its arguments.
    """
    found = []
    for path, arguments in json.loads(calls):
        first, *rest = path.split(".")
        try:
            function: Any = scope[first]
            for part in rest:
                function = getattr(function, part)
            value = function(*arguments)
            found.append((True, str(value), re.sub(" at 0x[0-9a-f]+", "", repr(value))))
        except Exception as error:
            found.append((False, type(error).__name__, type(error).__name__))
    return found


def main() -> None:
    """Import the module that standard input names, ask it, and print what it was and how it answered, as JSON."""
    # What the module prints goes to standard error.
    with os.fdopen(os.dup(1), "w") as told:
        os.dup2(2, 1)
        request = json.load(sys.stdin)
        sys.path[:] = [folder for folder in sys.path if folder]
        try:
            __import__(request["import"])
            module = sys.modules[request["import"]]
        except BaseException as error:
            json.dump({"why": f"{type(error).__name__}: {error}"}, told)
        else:
            json.dump({"file": module.__file__, "answers": answers(vars(module), request["calls"])}, told)


if __name__ == "__main__":
    main()
