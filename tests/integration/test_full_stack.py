"""The whole set of Python packages that Forge needs, from the committed lock, on Debian 12."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from debtool.stack.prove import verify_with_dpkg, verify_with_pip
from tests.support.imports import import_everything

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.build.image import RootImage
    from debtool.build.root import Root
    from tests.support.stacks import ServedStack

# The first run compiles torchvision.
pytestmark = [pytest.mark.root, pytest.mark.full, pytest.mark.timeout(3600)]

VENV = "/usr/lib/cheesegrater/venv"

USE_TORCH = """
import torch, torchvision
a = torch.arange(6.0).reshape(2, 3)
assert (a @ a.T).tolist() == [[5.0, 14.0], [14.0, 50.0]]
boxes, scores = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]]), torch.tensor([0.9, 0.8, 0.7])
assert torchvision.ops.nms(boxes, scores, 0.5).tolist() == [0, 2]
print(torch.__version__, torchvision.__version__)
"""


@pytest.fixture(scope="module")
def root(full_stack: ServedStack, bookworm: RootImage) -> Iterator[Root]:
    with bookworm.instance() as root:
        *lines, _ = full_stack.claim().lines
        everything = [package.name for package in full_stack.archive.published(full_stack.suite)]
        root.run(["sh", "-e"], stdin="\n".join(lines))
        # git: GitPython looks for it at import; the package of Forge's tree depends on it.
        root.run(["apt-get", "install", "--yes", "git", *everything])
        yield root


def test_every_package_of_the_lock_installs_whole(root: Root, full_stack: ServedStack) -> None:
    lock = (full_stack.file.parent / "locks/cheesegrater.bookworm.txt").read_text()
    locked = re.findall(r"^(?:#: )?([a-z0-9-]+)==", lock, flags=re.MULTILINE)
    ours = [package.name for package in full_stack.archive.published(full_stack.suite)]
    assert {f"cheesegrater-python3-{name}" for name in locked} <= set(ours)
    assert len(locked) > 130
    verify_with_dpkg(root, ours)
    verify_with_pip(root, VENV, "cheesegrater", ours)


def test_every_module_can_be_imported_with_its_dependencies_alone(root: Root) -> None:
    imports = import_everything(root, VENV, "cheesegrater")
    assert len(imports.distributions) > 130
    assert imports.failed == {}


def test_torch_computes_and_torchvision_works_with_it(root: Root) -> None:
    assert root.run([f"{VENV}/bin/python3", "-I", "-B", "-c", USE_TORCH]).stdout.startswith("2.13.0+cpu ")
