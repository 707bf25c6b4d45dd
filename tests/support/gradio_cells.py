"""A release of gradio_client with a release of pydantic: how a small application does before and after the patch.

Each release of the client gets a virtual environment with the newest Gradio that pins it, below a root of its own; the
patch's program runs on that root as it runs on a machine. `held_against` says what of it contradicts the patch file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import uv
from packaging.version import Version

from debtool.host.patcher.findings import OURS
from debtool.model.errors import Issue, OutsideError
from debtool.model.releases import within
from debtool.wheel.pipconfig import pip_indexes
from tests.support import gradio_probe
from tests.support.patches import gradio as gradio_document
from tests.support.patches import install_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from debtool.model.patch import Patch

FIRST = Version("0.6")
"""The first line of the client whose Gradio (3.47) is of the matrix: the last one before the affected ones."""

_ERAS = (
    # Gradio 3 and 4 import distutils, which Python 3.12 no longer has; setuptools brings it.
    (Version("1.4"), "setuptools", None),
    # They call TemplateResponse(name, context), which Starlette took until 1.0: "/" answers 500 there for that alone.
    (Version("1.4"), None, "starlette<1"),
    # Gradio before 6 imports HfFolder, and requests without asking for it: both came with huggingface_hub before 1.0.
    (Version("2.0"), None, "huggingface-hub<1"),
)
"""What was not yet there when a release was made, and its metadata do not say: before which client, what is needed
beside Gradio, and which constraint."""

_PROBE_SECONDS = 300
_OK, _MISSING, _FAILED = 200, 404, 500


@dataclass(frozen=True, slots=True)
class Seen:
    """What the probe (tests/support/gradio_probe.py) saw.

    Attributes:
        versions: Of the distributions that matter.
        trouble: Why Gradio cannot be imported, or the application not made.
        api: What becomes of ``get_api_info()``: ``ok``, or the error.
        models: The same with models of one's own, by their kind: ``dict`` (a field of that type), ``allow`` and
            ``forbid`` (extra fields); none for Gradio 3.
        launch: What ``launch()`` says.
        codes: The HTTP status of each path, or why there is none.
    """

    versions: Mapping[str, str]
    trouble: str | None = None
    api: str = ""
    models: Mapping[str, str] | None = None
    launch: str = ""
    codes: Mapping[str, int | str] | None = None

    @property
    def page(self) -> int | str:
        """The status of the start page."""
        return (self.codes or {}).get("/", "none")

    @property
    def info(self) -> int | str:
        """The status of the description, wherever this Gradio has it: from 5 on below ``/gradio_api``."""
        codes = self.codes or {}
        below = codes.get("/gradio_api/info", "none")
        return codes.get("/info", "none") if below == _MISSING else below

    @property
    def works(self) -> bool:
        """All of the application is well."""
        return (self.api, self.launch, self.page, self.info) == (gradio_probe.FINE, gradio_probe.FINE, _OK, _OK)

    @property
    def application(self) -> tuple[object, ...]:
        """All that was seen of the application, which must be the same where the patch is to change nothing of it."""
        return self.trouble, self.api, self.launch, self.codes

    @property
    def defective(self) -> bool:
        """The application fails by the defect of the patch file: a boolean is taken for a mapping.

        The start page fails with it only where Gradio makes the page from the description.
        """
        return "'bool'" in self.api and self.info == _FAILED

    @property
    def consistent(self) -> bool:
        """It works or is defective, and launching says the same as the start page."""
        opens = (self.launch == gradio_probe.FINE, self.page)
        return (self.works or self.defective) and opens in {(True, _OK), (False, _FAILED)}

    def wrong_models(self) -> list[str]:
        """Return the kinds of one's own models that fail."""
        return [name for name, said in (self.models or {}).items() if said != gradio_probe.FINE]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        client: The release of gradio_client.
        column: The release of pydantic that was asked for, or ``newest``.
        pydantic: The release that was installed.
        refused: Releases that were tried before it, and why Gradio did not import with them.
        before: The application with the file as its wheel brought it.
        applied: What ``apply`` said of the copy.
        status: What ``status`` said afterwards.
        changed: Whether a byte of the file was another one then.
        after: The application then.
        restored: Whether ``restore`` put every byte back; None where there was nothing to restore.
    """

    client: str
    column: str
    pydantic: str
    refused: Mapping[str, str]
    before: Seen
    applied: Mapping[str, Any]
    status: Mapping[str, Any]
    changed: bool
    after: Seen
    restored: bool | None

    @property
    def gradio(self) -> str:
        """The release of Gradio."""
        return self.before.versions["gradio"]

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, line: str) -> Cell:
        """Return the cell of such a line."""
        content = json.loads(line)
        return cls(**{**content, "before": Seen(**content["before"]), "after": Seen(**content["after"])})


def newest_of_lines(offered: Sequence[Version]) -> list[Version]:
    """Return the newest release of each minor line, ascending."""
    return list({(one.major, one.minor): one for one in sorted(offered)}.values())


class GradioEnvironment:
    """A root with one virtual environment, ``/venv``: one release of the client, and the program configured for it."""

    def __init__(self, folder: Path, client: Version, interpreter: Path) -> None:
        self.root, self.client = folder / "root", client
        self.venv = self.root / "venv"
        document = gradio_document()
        self.launcher = install_program(folder / "share", document)
        settings = self.root / "etc" / document["prefix"] / f"{document['name']}.d"
        settings.mkdir(parents=True)
        (settings / "matrix.conf").write_text("root = /venv\n")
        self._uv("venv", "--quiet", "--python", str(interpreter), str(self.venv))
        self._home = folder / "home"
        self._home.mkdir()
        (folder / "requirements").write_text("\n".join(self._requirements()) + "\n")
        (folder / "constraints").write_text("\n".join(c for _, _, c in self._eras() if c) + "\n")
        self._folder = folder

    def measure(self, column: str, releases: Sequence[Version]) -> Cell:
        """Return the cell of the first of ``releases`` of pydantic that this Gradio imports with, else of the last.

        Raises:
            OutsideError: Something could not be installed, or the program did not answer.
        """
        refused: dict[str, str] = {}
        for release in releases:
            self._install(release)
            before = self._probe()
            if before.trouble is None:
                break
            refused[str(release)] = before.trouble
        pristine = self.copy.read_bytes()
        applied = self._program("apply")
        patched = self.copy.read_bytes()
        status, after, restored = self._program("status"), self._probe(), None
        if patched != pristine:
            self._program("restore")
            restored = self.copy.read_bytes() == pristine
        changed = patched != pristine
        return Cell(
            str(self.client), column, str(release), refused, before, applied, status, changed, after, restored
        )  # fmt: skip

    @property
    def copy(self) -> Path:
        """The file that is patched."""
        [site] = self.venv.glob("lib/python3*/site-packages")
        return site / "gradio_client" / "utils.py"

    def _eras(self) -> list[tuple[Version, str | None, str | None]]:
        return [era for era in _ERAS if self.client < era[0]]

    def _requirements(self) -> list[str]:
        return ["gradio", f"gradio-client=={self.client}", *(beside for _, beside, _ in self._eras() if beside)]

    def _install(self, pydantic: Version) -> None:
        """Install Gradio with a release of pydantic, whatever range its metadata have for it: users' pip did too."""
        override = self._folder / "override"
        override.write_text(f"pydantic=={pydantic}\n")
        files = ("--requirement", "requirements", "--constraint", "constraints", "--override", "override")
        options = ("--quiet", "--no-config", "--python", str(self.venv), *pip_indexes().uv_options())
        self._uv("pip", "install", *options, *files)

    def _uv(self, *arguments: str) -> None:
        done = subprocess.run(
            [uv.find_uv_bin(), *arguments], cwd=self.root.parent, capture_output=True, text=True, check=False
        )
        if done.returncode:
            problem = f"uv could not set up gradio-client {self.client}: {done.stderr.strip()}"
            raise OutsideError(Issue(problem, fix="see what it names, and run again"))

    def _probe(self) -> Seen:
        own = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        # Neither statistics nor the fonts and scripts of others are asked for, and nothing of this user is read.
        quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HOME": str(self._home)}
        command = [str(self.venv / "bin/python"), "-I", gradio_probe.__file__]
        done = subprocess.run(
            command, cwd=self._home, env={**own, **quiet}, capture_output=True, text=True, check=False,
            timeout=_PROBE_SECONDS,
        )  # fmt: skip
        if done.returncode or not done.stdout:
            problem = f"the probe of gradio-client {self.client} gave no answer: {done.stderr.strip()[-500:]}"
            raise OutsideError(Issue(problem, fix="run it by hand"))
        return Seen(**json.loads(done.stdout))

    def _program(self, command: str) -> dict[str, Any]:
        called = [sys.executable, "-IS", str(self.launcher), "--root", str(self.root), command, "--json"]
        done = subprocess.run(called, capture_output=True, text=True, check=False)
        try:
            [copy] = json.loads(done.stdout)["copies"]
        except (ValueError, KeyError) as error:
            problem = f"{command} gave no answer for one copy: {done.stderr.strip() or error}"
            raise OutsideError(Issue(problem, fix="run it by hand")) from None
        result: dict[str, Any] = copy
        return result


@dataclass(frozen=True, slots=True)
class Claims:
    """What the patch file says of one cell.

    Attributes:
        affected: This release of the client needs the patch.
        needed: The defect shows with this release of pydantic.
    """

    affected: bool
    needed: bool

    @classmethod
    def of(cls, patch: Patch, cell: Cell) -> Claims:
        """Return those of a patch file."""
        affected = within(Version(cell.client), patch.ranges)
        needed = patch.needed_with is None or Version(cell.pydantic) >= Version(patch.needed_with.from_)
        return cls(affected, affected and needed)


def held_against(patch: Patch, cell: Cell) -> list[str]:
    """Return what contradicts the patch file, and what the program said or did against it; a line each."""
    claims = Claims.of(patch, cell)
    return [*_of_program(claims, cell), *_of_application(claims, cell)]


def _of_program(claims: Claims, cell: Cell) -> Iterator[str]:
    state = ("patched", True) if claims.affected else ("unaffected", False)
    for name, said in (("apply", cell.applied), ("status", cell.status)):
        if (said["state"], said["affected"]) != state:
            yield f"{name} says {said['state']}, affected {said['affected']}: {said['reason']}"
    if cell.changed != claims.affected:
        yield "the file was changed" if cell.changed else "the file was not changed"
    if not claims.affected:
        return
    if (cell.status["by"], cell.status["level"]) != (OURS, "full") or not cell.status["verified"]:
        said = cell.status
        yield f"status says: by {said['by']}, level {said['level']}, verified {said['verified']}"
    if bool(cell.status["needed"]) != claims.needed:
        yield f"status says needed: {cell.status['needed']} ({cell.status['needed_why']})"
    if not cell.restored:
        yield "restore did not put every byte back"


def _of_application(claims: Claims, cell: Cell) -> Iterator[str]:
    before, after = cell.before, cell.after
    if claims.needed:
        if not before.defective and "dict" not in before.wrong_models():
            yield "the defect does not show, in the application or with a field of type dict"
        if before.defective and not after.works:
            yield f"it fails after the patch: {after.api}; {after.launch}; {after.page}, {after.info}"
    elif before.defective:
        yield "the defect shows where it should not"
    if not before.defective and after.application != before.application:
        yield "the patch changes what needed no change"
    if claims.affected and after.wrong_models():
        yield f"models of one's own fail after the patch: {', '.join(after.wrong_models())}"
    if not claims.affected and after.models != before.models:
        yield "models of one's own are not the same as before, though nothing was patched"


def worth_knowing(patch: Patch, cell: Cell) -> list[str]:
    """Return what is no contradiction, but more than the patch file says; a line each."""
    claims = Claims.of(patch, cell)
    notes = [f"pydantic {release}: {why}" for release, why in cell.refused.items()]
    if claims.needed and not cell.before.defective:
        notes.append("the defect shows with a model of one's own only: no field of this Gradio's pictures is a dict")
    if cell.before.defective and cell.before.page == _OK:
        notes.append("only the description fails: this Gradio makes its start page without it")
    if not claims.needed and cell.before.wrong_models():
        kinds = ", ".join(cell.before.wrong_models())
        notes.append(f"models of one's own fail without the patch, with this pydantic too: {kinds}")
    if not cell.before.works and not cell.before.defective:
        before = cell.before
        parts = (before.trouble, before.api, before.launch, f"{before.page}, {before.info}")
        notes.append(f"another defect: {'; '.join(part for part in parts if part and part != gradio_probe.FINE)}")
    return notes
