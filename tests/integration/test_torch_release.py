"""A release of a stack with a torch that is built from source, and a torchvision that is compiled against it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from debtool.build.journal import Begin, End, Note, Phase, Reader
from debtool.torch.build import STEPS
from tests.support.stacks import ServedStack, debtool
from tests.support.torch_stack import REQUIREMENTS
from tests.support.torch_tree import make_tree, make_vision_tree

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.build.journal import Entry

pytestmark = pytest.mark.slow

COMPANION = """\
check = "import torch, torchvision"

[artefact.environment]
BUILD_VERSION = "0.21.0"
CFLAGS = "-march=westmere"
TORCHVISION_USE_PNG = "1"
TORCHVISION_USE_JPEG = "1"
"""
SITE_PACKAGES = "usr/lib/acme/venv/lib/python3.11/site-packages"
CODECS = {"libpng16-16", "libjpeg62-turbo"}


@dataclass
class Released:
    """The stack, and what became of it.

    Attributes:
        stack: The stack.
        built: What ``debtool torch build --json`` said.
        entries: The journal of that.
        plan: What ``debtool plan --json`` said then.
        release: What ``debtool release --json`` said then.
        companion: Where the companion's wheel is.
    """

    stack: ServedStack
    built: dict[str, Any]
    entries: list[Entry]
    plan: dict[str, Any]
    release: dict[str, Any]
    companion: Path

    def deb(self, name: str) -> Path:
        [found] = (self.stack.cache / "debs/acme").glob(f"acme-python3-{name}_*.deb")
        return found


def companions(stack: ServedStack) -> set[Path]:
    return set(stack.cache.glob("built/*/torchvision-*.whl"))


def set_codecs(stack: ServedStack, value: str) -> None:
    text = stack.file.read_text()
    text, changed = re.subn(r'(TORCHVISION_USE_\w+) = ".*"', rf'\1 = "{value}"', text)
    assert changed == 2
    stack.file.write_text(text)


def depends(deb: Path) -> set[str]:
    """The packages that a package depends on."""
    told = subprocess.run(["dpkg-deb", "--field", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    return {relation.split()[0] for relation in told.split(",")}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    folder = tmp_path_factory.mktemp("torch")
    stack = ServedStack(file=folder / "acme/stack.toml", public=folder / "acme/public", cache=folder / "cache")
    debtool("init", str(stack.file.parent), "--name=acme", "--maintainer=Ada <ada@example.org>", "--target=bookworm")
    text = stack.file.read_text()
    text, changed = re.subn(r"direct = \[.*\]\n(?=constraints)", "", text)
    assert changed == 1
    text, changed = re.subn(r"constraints = \[\]\n", REQUIREMENTS + COMPANION, text)
    assert changed == 1
    text, changed = re.subn(r"# baseline = .*", 'baseline = "westmere"', text)
    assert changed == 1
    stack.file.write_text(text)
    make_vision_tree(stack.file.parent / "vision")
    tree = make_tree(folder / "pytorch", units=2)
    stack.debtool("lock", "--target=bookworm")

    # The stack says which version, and that it is for the CPU.
    given = ("--target=bookworm", f"--source={tree}", "--launcher=none")
    built = json.loads(stack.debtool("torch", "build", *given, "--json"))
    [journal] = stack.cache.glob("torch/*/journal.jsonl")
    entries = list(Reader(journal).new())
    [companion] = companions(stack)
    plan = json.loads(stack.debtool("plan", "--target=bookworm", f"--archive={stack.public}", "--json"))
    return Released(stack, built, entries, plan, stack.release(), companion)


def test_torch_and_what_is_compiled_against_it_are_built_in_one_run(released: Released) -> None:
    events = [entry.event for entry in released.entries]
    phases = [event.name for event in events if isinstance(event, Phase)]
    assert phases == [*STEPS, "torchvision"]
    assert sum(isinstance(event, Begin) for event in events) == 1
    assert isinstance(events[-1], End)
    assert events[-1].status == "done"
    # Both are audited, and run on the emulated CPU.
    told = [event.text for event in events if isinstance(event, Note)]
    for wheel in (released.built["wheel"].rpartition("/")[2], released.companion.name):
        assert any(text.startswith(f"static audit of {wheel}: free") for text in told)
        assert any(text.startswith(f"{wheel} run on qemu-x86_64 ") and "-cpu Westmere" in text for text in told)
    assert released.built["audit"]["emulated"] == "nothing failed"
    record = json.loads((released.companion.parent / "record.json").read_text())
    assert record["inputs"]["against"].endswith(f"sha256:{released.built['sha256']}")


def test_a_release_goes_on_with_what_was_built(released: Released) -> None:
    stack = released.stack
    actions = {one["package"]: one["action"] for one in released.plan["packages"]}
    assert actions["acme-python3-torch"] == actions["acme-python3-torchvision"] == "build"
    versions = {one["package"]: one["version"] for one in released.release["packages"]}
    assert versions["acme-python3-torch"] == "2.6.0+cpu.noavx-1~deb12"
    assert versions["acme-python3-torchvision"] == "0.21.0-1~deb12"
    unpacked = stack.cache.parent / "unpacked"
    subprocess.run(["dpkg-deb", "--extract", released.deb("torch"), unpacked], check=True)
    library = "torch/lib/libtorch_cpu.so"
    with zipfile.ZipFile(released.built["wheel"]) as wheel:
        assert (unpacked / SITE_PACKAGES / library).read_bytes() == wheel.read(library)
    # The companion of that run is the one that is packaged: nothing was compiled for the release.
    assert companions(stack) == {released.companion}


def test_codecs_are_the_target_s_own_where_the_stack_wants_them(released: Released) -> None:
    assert depends(released.deb("torchvision")) >= {*CODECS, "acme-python3-torch"}


def test_a_second_release_writes_nothing_and_one_without_codecs_compiles_the_companion_anew(
    released: Released,
) -> None:
    stack = released.stack
    files = {path: path.stat().st_mtime_ns for path in stack.public.rglob("*")}
    second = stack.release()
    assert {one["action"] for one in second["packages"]} == {"keep"}
    assert {path: path.stat().st_mtime_ns for path in stack.public.rglob("*")} == files
    assert companions(stack) == {released.companion}

    set_codecs(stack, "0")
    third = stack.release()
    assert {one["package"] for one in third["packages"] if one["action"] == "build"} >= {"acme-python3-torchvision"}
    assert {one["action"] for one in third["packages"] if one["package"] == "acme-python3-torch"} == {"keep"}
    [other] = companions(stack) - {released.companion}
    newest = max((stack.cache / "debs/acme").glob("acme-python3-torchvision_*.deb"), key=os.path.getmtime)
    assert depends(newest) & CODECS == set()
    assert "PNG" not in (other.parent / "build.log").read_text()
    assert "Building torchvision with PNG support" in (released.companion.parent / "build.log").read_text()
