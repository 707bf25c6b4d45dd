"""Each command on every copy."""

# ruff: noqa: PLC0415, PTH100, PTH111, PTH112, PTH120
# Pathlib costs half a start of Python; what only some runs need is loaded there.
from __future__ import annotations

import contextlib
import os
import sys
import time

from . import configuration, examining, patching, report, restoring, stamps, verifying, versions
from .errors import DocumentError, OutsideError, PatchError, UsageError
from .files import Tree
from .findings import FAILED, OURS, Copy, Finding
from .main import question, state_folder
from .options import parsed
from .places import Places
from .recipe import SCHEMA, Recipe, load
from .state import State

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .options import Options

HERE = os.path.dirname(os.path.abspath(__file__))
HOOK = f"{HERE}/hook"

STEP = 0.2
"""Seconds between two looks at an installation that is not finished."""


def main(document: str, arguments: list[str], options: Options | None, began: int) -> int:
    """Run one command and return its exit status; without ``options``, argparse reads the arguments."""
    trigger = "--trigger" in arguments
    name = sys.argv[0].rpartition("/")[2]
    try:
        recipe = load(document)
        if options is None or (options.level is not None and options.level not in recipe.levels):
            about = f"Keep {recipe.distribution} working where {recipe.defect}."
            options = parsed(arguments, recipe.package, about, recipe.levels)
        if options.command == "hook":
            return _hook(recipe, options)
        program = Program(recipe, document, options)
        if options.command == "watch":
            from .watching import watch

            return watch(program)
        return program.once(began)
    except UsageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 0 if trigger else 2
    except (OutsideError, PatchError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 0 if trigger and not isinstance(error, DocumentError) else 3


class Program:
    """One command with its options on this machine."""

    def __init__(self, recipe: Recipe, document: str, options: Options) -> None:
        self.recipe, self.document, self.options = recipe, document, options
        self.state = State(state_folder(recipe.prefix, recipe.name, options.root, options.state), recipe.marker)
        self.tree = Tree(options.root or "/")
        self.stamps = f"{self.state.folder}/stamps.json"
        self.configuration = f"/etc/{recipe.prefix}/{recipe.name}.d"
        self.level = options.level or recipe.ships
        self.places = self._places()
        self.given = self._given()
        self._seen: dict[str, list[int] | None] = {}
        self._told: dict[str, str] = {}

    def _places(self) -> Places:
        home = os.environ.get("HOME") or os.path.expanduser("~")
        return Places(self.tree, self.recipe.file, home.rstrip("/"))

    def _given(self) -> list[Copy]:
        """Return the copies that the command line names. Raises UsageError for a wrong one."""
        diverted, to, paths = self.options.diverted, self.options.to, self.options.paths
        if (diverted or to) and (not (diverted and to) or paths):
            raise UsageError("--diverted PRISTINE and --to FILE go together, without further paths")
        for path in [*paths, *([to] if to else [])]:
            if not path.startswith("/"):
                raise UsageError(f"{path}: must be an absolute path")
        if diverted and to and (not diverted.startswith(f"{to}.") or "/" in diverted.removeprefix(to)):
            raise UsageError(f"{diverted}: PRISTINE is the same path as FILE with a suffix")
        if to:
            return [Copy(to, diverted, self.places.python(to), origin="command line", named=True)]
        return [self.places.named(os.path.normpath(path), "command line") for path in paths]

    # -- copies ----------------------------------------------------------------------------------------------------

    def copies(self) -> list[Copy]:
        """Return the copies that the command is about. Raises UsageError for a wrong configuration."""
        known = {copy.path: copy for copy in self._known()}
        return [known.get(copy.path, copy) if copy.diverted is None else copy for copy in self.given] or [
            *known.values()
        ]

    def _known(self) -> Iterable[Copy]:
        """Yield dpkg's copy, the configured and the recorded ones; later ones of the same path are the same."""
        known: dict[str, Copy] = {}
        diverted = self.recipe.diverted
        # Before dpkg unpacked anything there, and where this is not root's run, it is nobody's matter.
        if diverted is not None and (self.tree.user == 0 or self.options.command in {"status", "list", "verify"}):
            python = self.places.python(diverted.target)
            known[diverted.target] = Copy(diverted.target, diverted.pristine, python, origin="patch.json")
        try:
            entries = configuration.read(self.tree, self.configuration)
        except UsageError as error:
            if not self.options.trigger:
                raise
            # A wrong line must not leave dpkg's copy unpatched.
            print(f"{self.recipe.package}: {error}", file=sys.stderr)
            entries = []
        for copy in self.places.find(entries):
            known.setdefault(copy.path, copy)
        for record in self.state.records():
            path = record["path"]
            # A diversion may have gone since it was recorded: only patch.json and the command line speak of one.
            if path not in known and not record.get("diverted"):
                found = self.places.named(path, "an earlier run")
                known[path] = Copy(path, None, found.python, found.environment, found.origin, bool(record.get("named")))
        return known.values()

    # -- one run ---------------------------------------------------------------------------------------------------

    def once(self, began: int) -> int:
        """Run the command once, report, and return the exit status."""
        command = self.options.command
        findings = self._settling(began) if self.options.settle else self._pass(began)
        failures = self._failures() if command == "status" else []
        if self.options.restart_changed:
            self._restart(findings)
        told = [finding for finding in findings if not (self.options.problems and finding.good)]
        if not self._silent(told, failures):
            show = report.as_json if self.options.json else report.as_text
            show(self.recipe, command, told, failures)
        if self.options.trigger or command == "list":
            return 0
        return max([finding.status for finding in findings] + [1 if failures else 0])

    def _pass(self, began: int) -> list[Finding]:
        """Carry the command out on every copy that it is about."""
        command = self.options.command
        self.places = self._places()
        copies = self.copies()
        with contextlib.ExitStack() as stack:
            if command in {"apply", "restore", "watch"}:
                stack.enter_context(self.state.locked())
                stamps.forget(self.stamps)
            if command == "restore" and not self.given:
                copies = [copy for copy in copies if self._ours(copy)]
            # Before anything is read: what changes from now on shows. So does what this run itself changes.
            self._seen = self._stamps(copies)
            findings = [self.carry_out(copy) for copy in copies]
            if command in {"apply", "watch"} and not self.given and all(finding.good for finding in findings):
                answer = question(self.options.root, self.level)
                stamps.write(self.stamps, answer, self._seen, len(copies), began)
        return findings

    def _silent(self, told: list[Finding], failures: list[dict[str, Any]]) -> bool:
        """Say whether there is nothing that the options ask for."""
        if self.options.quiet_unless_changed:
            return not any(finding.changed or not finding.good for finding in told)
        return self.options.problems and not self.options.json and not (told or failures)

    def carry_out(self, copy: Copy) -> Finding:
        """Run the command on one copy; what stands in its way becomes a finding, and is recorded."""
        host = examining.Host(self.recipe, self.tree, self.state, self.places)
        try:
            return self._carried_out(host, copy)
        except (PatchError, FileNotFoundError) as error:
            finding = examining.listed(host, copy, "unpatchable", str(error))
        except (OutsideError, OSError) as error:
            finding = examining.listed(host, copy, "error", str(error))
            if self._read_only(copy):
                finding.fix = f"make it writable, or patch at import: PYTHONPATH={HOOK} in its environment"
        if self.options.command in {"apply", "watch"}:
            with contextlib.suppress(OutsideError):
                self.state.write_record(finding)
        return finding

    def _carried_out(self, host: examining.Host, copy: Copy) -> Finding:
        command = self.options.command
        if command in {"apply", "watch"} and copy.diverted:
            return patching.apply_diverted(host, copy, self.level)
        if command in {"apply", "watch"}:
            return patching.apply_plain(host, copy, self.level, full=not self.options.trigger, again=bool(self.given))
        if command == "restore":
            return restoring.restore(host, copy)
        if command == "verify":
            return verifying.verify(host, copy, self.options.python)
        return examining.listed(host, copy) if command == "list" else examining.examine(host, copy).finding

    def _read_only(self, copy: Copy) -> bool:
        return not os.access(self.tree.at(copy.folder), os.W_OK, effective_ids=True)

    def _ours(self, copy: Copy) -> bool:
        """Say whether a copy is patched by this program, by its record or its mark."""
        record = self.state.record(copy.path)
        if record is not None and record.get("state") == "patched" and record.get("by") == OURS:
            return True
        content = self.tree.read(copy.path)
        return content is not None and self.recipe.marker.encode() in content.data

    def _failures(self) -> list[dict[str, Any]]:
        failed = [record for record in self.state.records() if record.get("state") in FAILED]
        return [{**record, "record": self.state.record_file(record["path"])} for record in failed]

    def _stamps(self, copies: list[Copy]) -> dict[str, list[int] | None]:
        """Return the stamps of everything that decides: patch.json, this program, configuration, folders, copies."""
        folder = self.tree.at(self.configuration)
        paths = [self.document, HERE, folder]
        paths += [f"{folder}/{name}" for name in self.tree.names(self.configuration)]
        for copy in copies:
            paths.append(self.tree.at(copy.path))
            site = self.places.site(copy.path)
            paths.append(self.tree.at(site))
            found = versions.infos(self.tree.names(site), self.recipe.distribution)
            paths += [self.tree.at(f"{site}/{name}") for name in found]
            if copy.diverted:
                paths.append(self.tree.at(copy.diverted))
        # Folders as they were when they were looked at, not as they have become.
        looked = self.places.looked.items()
        known = {self.tree.at(path): None if one is None else stamps.stamp_of(one) for path, one in looked}
        return {**{path: stamps.stamp(path) for path in paths if path not in known}, **known}

    # -- waiting and watching --------------------------------------------------------------------------------------

    def _settling(self, began: int) -> list[Finding]:
        """Apply; then, for the seconds of ``--settle`` at most, again whenever an installer has got further."""
        deadline, found = time.monotonic() + self.options.settle, dict[str, Finding]()
        while True:
            for finding in self._pass(began):
                earlier = found.get(finding.path)
                if earlier is not None and earlier.changed:
                    finding.changed = True
                    finding.reason = earlier.reason if finding.state == earlier.state else finding.reason
                found[finding.path] = finding
            while time.monotonic() < deadline and self._busy(found.values()):
                if not self.same():
                    break
                time.sleep(STEP)
            else:
                return list(found.values())

    def _busy(self, findings: Iterable[Finding]) -> bool:
        """Say whether an installer may be at work: a copy is half there, or a folder without one has just changed.

        A new environment is made first and filled seconds later; only its making is noticed from outside. A home, in
        which files come and go, is no such folder; a new folder in it is one.
        """
        if any(finding.state == "installing" for finding in findings):
            return True
        done = {self.places.site(finding.path) for finding in findings} | self.places.parents
        now = time.time()
        looked = [status for path, status in self.places.looked.items() if path not in done]
        return any(status is not None and now - status.st_mtime < self.options.settle for status in looked)

    def same(self) -> bool:
        """Say whether everything that the last pass looked at is as it was."""
        return all(stamps.stamp(path) == old for path, old in self._seen.items())

    def round(self) -> list[str]:
        """Apply to every known copy, tell what is new, and return the paths that were looked at."""
        findings = list[Finding]()
        try:
            findings = self._pass(time.time_ns())
            self._told.pop("", None)
        except (UsageError, OutsideError) as error:
            if self._told.get("") != str(error):
                print(f"{self.recipe.package}: {error}", file=sys.stderr, flush=True)
            self._told[""] = str(error)
            self._seen = self._stamps([])
        told = {finding.path: f"{finding.state}: {finding.reason}" for finding in findings}
        new = [one for one in findings if one.changed or (not one.good and self._told.get(one.path) != told[one.path])]
        if new:
            show = report.as_json if self.options.json else report.as_text
            show(self.recipe, "watch", new, [])
            sys.stdout.flush()
        self._told.update(told)
        return list(self._seen)

    # -- services --------------------------------------------------------------------------------------------------

    def _restart(self, findings: list[Finding]) -> None:
        """Restart the running services of dpkg's copy if it really changed; systemd is there and not about to be."""
        if not any(finding.changed and finding.diverted for finding in findings):
            return
        import subprocess

        invoke = self.tree.at("/usr/bin/deb-systemd-invoke")
        if not os.path.isdir(self.tree.at("/run/systemd/system")) or not os.access(invoke, os.X_OK):
            return
        for unit in self.recipe.restart:
            if self._configured(unit):
                subprocess.call([invoke, "try-restart", unit], stdout=sys.stderr)

    def _configured(self, unit: str) -> bool:
        """Say whether the unit's package is configured; one that is being upgraded restarts its service by itself."""
        import subprocess

        query = ["dpkg-query", f"--root={self.tree.root}", "--show", "--showformat", "${db:Status-Status}"]
        try:
            asked = subprocess.run(  # noqa: PLW1510 -- 1: there is no such package
                [*query, unit.rpartition(".")[0]], capture_output=True, text=True
            )
        except OSError:
            return True
        return asked.returncode != 0 or asked.stdout == "installed"


def _hook(recipe: Recipe, options: Options) -> int:
    """Print the folder that patches at import, for PYTHONPATH."""
    if options.json:
        import json

        print(json.dumps({"schema": SCHEMA, "package": recipe.package, "command": "hook", "path": HOOK}))
    else:
        print(HOOK)
    return 0
