"""Every line of gradio_client with old and new pydantic, before and after the patch; for docs/benchmarks.md.

    python benchmarks/gradio_matrix.py --results matrix.jsonl
    python benchmarks/gradio_matrix.py --results matrix.jsonl --clients 1.2 1.8 --python PROGRAM

Of every minor line of the client, its newest release, with the newest Gradio that pins it. With each release of
pydantic, an application with a Textbox and an Image is really served by Python 3.12. The results file has a line of
JSON for each cell; what it has is not measured again. Exit status 1: something contradicts what the patch file says, or
is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from packaging.version import Version  # noqa: E402 -- the checkout first

from debtool.model.errors import DebtoolError  # noqa: E402
from debtool.model.releases import within  # noqa: E402
from debtool.stack.patch_trial import trial_wheels, try_patch  # noqa: E402
from debtool.wheel.bytecode import find_interpreter  # noqa: E402
from debtool.wheel.offers import offered_versions  # noqa: E402
from tests.support.gradio_cells import (  # noqa: E402
    FIRST,
    Cell,
    GradioEnvironment,
    Seen,
    held_against,
    newest_of_lines,
    worth_knowing,
)
from tests.support.patch_packages import gradio  # noqa: E402

if TYPE_CHECKING:
    from debtool.model.patch import Patch
    from debtool.stack.patch_trial import Trial

LINES = ("2.8", "2.10", "2.11")
"""The lines of pydantic with a column of their own, beside the newest that imports."""
NEWEST = "newest"


def line(version: Version) -> str:
    """Return the minor line of a version."""
    return f"{version.major}.{version.minor}"


class Results:
    """The cells that are measured, in a file of one line each; a line that a kill tore is cut off."""

    def __init__(self, file: Path) -> None:
        self.file, self._lock = file, threading.Lock()
        found = file.read_bytes() if file.exists() else b""
        whole = found[: found.rfind(b"\n") + 1]
        if whole != found:
            file.write_bytes(whole)
        cells = map(Cell.of, whole.decode().splitlines())
        self.cells = {(cell.client, cell.column): cell for cell in cells}

    def add(self, cell: Cell) -> None:
        """Keep a cell."""
        with self._lock:
            self.cells[cell.client, cell.column] = cell
            with self.file.open("a") as stream:
                stream.write(cell.line() + "\n")


class Quiet:
    """Watches the trial of the wheels and says nothing."""

    def stage(self, name: str, total: int | None) -> None:
        """Say nothing."""

    def step(self, what: str) -> None:
        """Say nothing."""


def measure(
    client: Version, columns: dict[str, list[Version]], results: Results, interpreter: Path, work: Path | None
) -> None:
    """Measure what is missing of one release of the client."""
    missing = {name: releases for name, releases in columns.items() if (str(client), name) not in results.cells}
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix=f"gradio-{client}-", dir=work) as folder:
        # Root's copies are verified by import as nobody.
        Path(folder).chmod(0o755)
        try:
            environment = GradioEnvironment(Path(folder), client, interpreter)
            for name, releases in missing.items():
                results.add(environment.measure(name, releases))
                print(f"{client} with pydantic {name}: {len(results.cells)} cells", file=sys.stderr, flush=True)
        except (DebtoolError, subprocess.TimeoutExpired) as error:
            print(f"{client}: {error}", file=sys.stderr, flush=True)


def pydantic_columns() -> dict[str, list[Version]]:
    """Return the releases of pydantic to try for each column, in order."""
    offered = newest_of_lines(offered_versions("pydantic"))
    columns = {str(one): [one] for one in offered if line(one) in LINES}
    newer = [one for one in offered if one >= Version(LINES[-1]) and line(one) not in LINES]
    return {**columns, NEWEST: newer[::-1]}


def side(seen: Seen) -> str:
    """Return one side of a cell: the codes of start page and description, or what is in the way."""
    if seen.trouble is not None:
        return "no import"
    codes = f"{seen.page}/{seen.info}"
    # get_api_info() fails or works as the description does, and launching as the page; where they do not, it is said.
    return codes if seen.consistent else f"{codes} ({seen.api}; {seen.launch})"


def cell_text(cell: Cell | None) -> str:
    if cell is None:
        return "not measured"
    before, after = side(cell.before), side(cell.after)
    if not cell.changed and before == after:
        return before
    mark = "" if cell.before.defective or "dict" not in cell.before.wrong_models() else " \\*"
    return f"{before} → {after}{mark}"


def print_matrix(patch: Patch, clients: list[Version], columns: dict[str, list[Version]], results: Results) -> None:
    newest = Counter(cell.pydantic for (_, column), cell in results.cells.items() if column == NEWEST)
    heads = [name if name != NEWEST else f"newest ({', '.join(newest)})" for name in columns]
    print("| gradio_client | Gradio | affected |", " | ".join(f"pydantic {head}" for head in heads), "|")
    print("|---|---|---|" + "---|" * len(columns))
    for client in clients:
        row = [results.cells.get((str(client), name)) for name in columns]
        gradios = dict.fromkeys(cell.gradio for cell in row if cell)
        affected = "yes" if within(client, patch.ranges) else "no"
        print("|", client, "|", ", ".join(gradios), "|", affected, "|", " | ".join(map(cell_text, row)), "|")


def print_schemas(patch: Patch, trials: list[Trial]) -> None:
    """Print what becomes of each schema of the patch file's checks, without and with the patch."""

    def row(trial: Trial) -> tuple[str, ...]:
        found = []
        for check in patch.checks:
            before, after = (_wrong(lines, check.name) for lines in (trial.before, trial.after))
            found.append(f"{before} → {after}" if trial.changed else before)
        return tuple(found)

    print("| gradio_client |", " | ".join(check.name for check in patch.checks), "|")
    print("|---|" + "---|" * len(patch.checks))
    for texts, group in groupby(trials, row):
        versions = [str(trial.version) for trial in group]
        name = versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
        print("|", name, "|", " | ".join(texts), "|")


def _wrong(lines: tuple[str, ...] | None, check: str) -> str:
    if lines is None:
        return "unknown"
    found = [one.removeprefix(f"{check}: ") for one in lines if one.startswith(f"{check}: ")]
    return found[0].split(":")[0] if found else "right"


def print_found(title: str, found: dict[str, list[tuple[Version, str]]]) -> None:
    """Print what was found, each with the clients and releases of pydantic that it is of."""
    print(f"\n{title}: {len(found) or 'none'}\n")
    for text, cells in found.items():
        groups = groupby(cells, lambda cell: cell[0])
        told = [f"{client} ({', '.join(other for _, other in group)})" for client, group in groups]
        print(f"- {text}: {', '.join(told)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, metavar="FILE", help="cells, a line of JSON each")
    parser.add_argument("--clients", nargs="+", metavar="LINE", help="only these minor lines, such as 1.2")
    parser.add_argument("--python", type=Path, metavar="PROGRAM", help="Python 3.12 that every user may run")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where environments are made, one after another")
    parser.add_argument("--jobs", type=int, default=2, help="how many are made at once")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/debtool").expanduser())
    parser.add_argument("--report", action="store_true", help="measure nothing, print what there is")
    options = parser.parse_args()

    patch, results = gradio(), Results(options.results)
    releases = [one for one in offered_versions(patch.distribution) if one >= FIRST]
    if options.clients:
        releases = [one for one in releases if line(one) in options.clients]
    clients, columns = newest_of_lines(releases), pydantic_columns()
    if not options.report:
        interpreter = (options.python or find_interpreter("3.12")).absolute()
        subprocess.run([interpreter, "--version"], check=True, stdout=sys.stderr)
        pool = ThreadPoolExecutor(options.jobs)
        try:
            list(pool.map(lambda client: measure(client, columns, results, interpreter, options.work), clients))
        finally:
            pool.shutdown(cancel_futures=True)

    print_matrix(patch, clients, columns, results)
    print()
    trials = try_patch(patch, trial_wheels(patch, releases, options.cache, Quiet()), Quiet())
    print_schemas(patch, trials)
    notes, against = defaultdict(list), defaultdict(list)
    for client, name in product(clients, columns):
        cell = results.cells.get((str(client), name))
        where = client, cell.pydantic if cell else name
        for note in worth_knowing(patch, cell) if cell else []:
            notes[note].append(where)
        for problem in held_against(patch, cell) if cell else ["not measured"]:
            against[problem].append(where)
    for trial in trials:
        for problem in trial.problems:
            against[problem].append((trial.version, "its functions alone"))
    patched = [str(cell.status["verified"] or "no").split(" by ")[0] for cell in results.cells.values() if cell.changed]
    print(f"\nCells: {len(results.cells)}; patched: {len(patched)}; verified: {dict(Counter(patched))}")
    print_found("Notes", notes)
    print_found("Contradictions", against)
    return 1 if against else 0


if __name__ == "__main__":
    sys.exit(main())
