"""Every dependency of a whole lock, cold and warm, against dpkg-shlibdeps on the same files; and how far both agree.

    sudo python benchmarks/dependencies.py --target bookworm
    sudo python benchmarks/dependencies.py --target noble --root trixie

Cold reads every wheel of the index anew, warm takes what was kept of it; both then map requirements and libraries of
all of them. dpkg-shlibdeps runs once for each compiled wheel, in a root of the release that has the libraries; the time
to unpack the wheels for it is not counted. Needs root.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from debtool.elf.depends import Strength, library_clauses  # noqa: E402 -- the checkout first
from debtool.stack.dependencies import WheelSet  # noqa: E402
from debtool.stack.facts import FactCache  # noqa: E402
from debtool.stack.project import open_project  # noqa: E402
from debtool.stack.wheels import read_lock  # noqa: E402
from debtool.wheel.fetch import FileCache, fetch  # noqa: E402
from tests.support.shlibdeps import ask, compare, image_with_libraries, lowest  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="cheesegrater")
    parser.add_argument("--target", default="bookworm")
    parser.add_argument("--root", help="the target whose release dpkg-shlibdeps runs in, if it is another one")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/debtool").expanduser())
    options = parser.parse_args()

    project = open_project(REPO / f"repo/{options.stack}.toml")
    target = project.target(options.target)
    lock = read_lock(project, target)
    index = replace(lock, files=tuple(entry for entry in lock.files if entry.is_wheel), artefacts=())
    paths = fetch(index, target, FileCache(options.cache / "files"))
    # Without what is built from source, the set is not whole.
    stack = project.stack

    times: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            for found in times.values():
                began = time.monotonic()
                known = FactCache(Path(folder))
                facts = [known.read(paths[entry.name], entry.sha256, target) for entry in index.files]
                together = WheelSet(stack, target, {wheel.name: wheel for wheel in facts}, locked=False)
                results = [together.dependencies(wheel.name) for wheel in facts]
                relations = sum(len(one.relations(Strength.DEPENDS)) for one in results)
                found.append(time.monotonic() - began)

    verdicts: Counter[str] = Counter()
    differences = []
    peer_seconds = 0.0
    compiled = [one for one in results if one.wheel.elf]
    with image_with_libraries(project.target(options.root or options.target), options.cache).instance() as root:
        for one in compiled:
            peer = ask(root, one.wheel)
            peer_seconds += peer.seconds
            ours = lowest(map(str, library_clauses(one.libraries)))
            for package, verdict in compare(ours, peer.depends).items():
                verdicts[verdict] += 1
                if verdict != "equal":
                    bounds = ours.get(package), peer.depends.get(package)
                    differences.append([one.wheel.name, package, verdict, *bounds])
    print(
        json.dumps(
            {
                "wheels": len(results),
                "compiled": len(compiled),
                "relations": relations,
                **{f"{kind}_s": sorted(round(one, 2) for one in found) for kind, found in times.items()},
                "dpkg_shlibdeps_s": round(peer_seconds, 2),
                "agreement": dict(verdicts),
                "differences": differences,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
