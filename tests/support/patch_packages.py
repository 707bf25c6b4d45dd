"""Real patch packages of a small stack, and the packages around them, for real dpkg."""

from __future__ import annotations

import py_compile
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.deb.writer import write_deb
from debtool.model.patch import Patch, parse_patch
from debtool.model.shipped import shipped
from debtool.model.stack import PatchPackage
from debtool.model.versions import DebianVersion
from debtool.stack.draft import Build, DraftPayload
from debtool.stack.recipes.patch import PatchDraft
from tests.support.drafts import PACKAGE, stack, target

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "/usr/lib/acme"
SITE = f"{PREFIX}/venv/lib/python3.11/site-packages"
DATE = 1_790_000_000

# A second patch, different in every way: another function, another kind of guard, no levels, a constraint on itself.
WORDS = """\
schema = 1
distribution = "Word.List"
affected = "~=2.1"
file = "words/__init__.py"
defect = "a word that is None stops the list"
comment = "None is no word"
constraint = "word-list!=2.1.*"

[[edits]]
function = "Words.join"
where = "after"
assigns = "found"
contains = ", "
test = "found is None"
then = 'found = ""'

[[edits]]
function = "first"
test = "len({0}) == 0"
then = "return None"

[[checks]]
name = "an empty list"
call = "first"
arguments = [[]]
gives = ["None"]

[[keeps]]
call = "first"
arguments = [["a", "b"]]
"""
WORDS_TEXT = b'''\
"""Words."""


class Words:
    def join(self, words):
        found = getattr(self, ", ", None)
        return found


def first(words):
    """Return the first one."""
    return words[0]
'''


def gradio() -> Patch:
    """Return the patch that debtool brings."""
    file = shipped("repo/patches/gradio.toml")
    return parse_patch(file.read_text(), file)


def words() -> Patch:
    """Return the second one."""
    return parse_patch(WORDS, Path("words.toml"))


def patch_draft(patch: Patch, name: str, *, python: str = "3.11") -> PatchDraft:
    """Return the draft of a patch package called ``acme-NAME``."""
    package = PatchPackage(
        recipe="patch", name=name, patch=f"patches/{name}.toml", summary=f"patch of {patch.distribution}",
        description="A patch.",
    )  # fmt: skip
    where = target(python)
    return PatchDraft(
        stack=stack(PACKAGE), target=where, name=f"acme-{name}", upstream="1", package=package, patch=patch
    )


def patch_deb(draft: PatchDraft, version: str, folder: Path) -> Path:
    """Write the package of a draft as a release does it."""
    build = Build(DebianVersion(version), {}, DATE, "key")
    path = folder / f"{draft.name}_{version}.deb"
    return write_deb(path, DraftPayload(draft, build), partial(draft.control, build), date=DATE, compression="xz").path


def distribution_files(site: str, name: str, version: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of an installed distribution as a package has them: no RECORD, and dpkg for its installer."""
    info = f"{site}/{name}-{version}.dist-info"
    return {
        **{f"{site}/{path}": content for path, content in files.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/INSTALLER": b"dpkg\n",
    }


@dataclass(frozen=True)
class Deb:
    """A package to be made: files and scripts by their paths.

    Attributes:
        bytecode: The files whose bytecode it has, too.
    """

    name: str
    version: str
    files: Mapping[str, bytes]
    fields: str = ""
    scripts: Mapping[str, str] | None = None
    bytecode: tuple[str, ...] = ()

    def build(self, folder: Path) -> Path:
        tree = folder / f"{self.name}_{self.version}"
        for path, content in self.files.items():
            file = tree / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            if path in self.bytecode:
                cached = file.parent / "__pycache__" / f"{file.stem}.cpython-311.pyc"
                py_compile.compile(str(file), str(cached), dfile=path, doraise=True)
        control = tree / "DEBIAN"
        control.mkdir(parents=True)
        (control / "control").write_text(
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: all\nMaintainer: T <t@example.org>\n"
            f"{self.fields}Description: test\n"
        )
        digests = subprocess.run(
            ["find", ".", "-type", "f", "-not", "-path", "./DEBIAN/*", "-exec", "md5sum", "{}", "+"],
            cwd=tree, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        (control / "md5sums").write_text(digests.replace("  ./", "  "))
        for name, text in (self.scripts or {}).items():
            (control / name).write_text(text)
            (control / name).chmod(0o755)
        deb = folder / f"{self.name}_{self.version}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", str(tree), str(deb)],
            check=True, capture_output=True,
        )  # fmt: skip
        shutil.rmtree(tree)
        return deb
