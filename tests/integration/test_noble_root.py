"""Every package for Ubuntu 24.04 that can be made here, installed by apt on a stand-in for it and used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.model.names import wheel_package
from debtool.stack.prove import verify_with_dpkg, verify_with_pip
from debtool.stack.service import start_service
from debtool.stack.wheels import read_lock
from tests.support.imports import Imports, import_everything, unresolved_libraries
from tests.support.noble import NobleRelease, add_hollow_torch, machine, released

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.build.root import Root

pytestmark = [pytest.mark.root, pytest.mark.full]

# What imports torch as soon as it is imported; other users of torch do so when they need it.
NEED_TORCH = frozenset(
    [
        "accelerate",
        "facexlib",
        "kornia",
        "lightning_fabric",
        "open_clip",
        "peft",
        "pytorch_lightning",
        "spandrel",
        "spandrel_extra_arches",
        "timm",
        "tomesd",
        "torchdiffeq",
        "torchmetrics",
        "torchsde",
    ]
)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[NobleRelease]:
    with released(tmp_path_factory.mktemp("noble"), cache) as release:
        yield release


@pytest.fixture(scope="module")
def root(release: NobleRelease, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Root]:
    target = release.project.target("noble")
    folder = tmp_path_factory.mktemp("python")
    with machine(folder, cache, target.python, f"{target.python_full}-1") as root:
        root.run(["sh", "-e"], stdin="\n".join(release.claim.lines[:-1]))
        # Without what is only recommended: Depends alone must do.
        root.run(["apt-get", "install", "--yes", "--no-install-recommends", *release.packages])
        yield root


@pytest.fixture(scope="module")
def imports(root: Root, release: NobleRelease) -> Imports:
    return import_everything(root, release.claim.venv, release.claim.prefix)


def test_the_machine_is_what_it_stands_for(root: Root, release: NobleRelease) -> None:
    question = "import platform, sys; print(*sys.version_info[:2], *platform.libc_ver(), sys.prefix, sys.base_prefix)"
    answer = root.run([f"{release.claim.venv}/bin/python3", "-I", "-c", question]).stdout.split()
    assert answer == ["3", "12", "glibc", "2.41", release.claim.venv, "/usr"]


def test_every_package_of_the_lock_installs_whole(root: Root, release: NobleRelease) -> None:
    lock = read_lock(release.project, release.project.target("noble"))
    wheels = {wheel_package(release.claim.prefix, name) for name in lock.versions}
    assert len(wheels) > 130
    assert wheels < set(release.packages)
    verify_with_dpkg(root, release.packages)
    verify_with_pip(root, release.claim.venv, release.claim.prefix, release.packages)


def test_every_module_can_be_imported_with_its_dependencies_alone(imports: Imports, release: NobleRelease) -> None:
    target = release.project.target("noble")
    hollow = set(release.project.stack.artefacts_for(target.name))
    assert set(imports.distributions) == read_lock(release.project, target).versions.keys() - hollow
    expected = dict.fromkeys(NEED_TORCH, "ModuleNotFoundError: No module named 'torch'")
    assert {module: error.splitlines()[-1] for module, error in imports.failed.items()} == expected


def test_every_library_finds_what_it_is_linked_with(root: Root, release: NobleRelease) -> None:
    assert unresolved_libraries(root, release.claim.venv) == []


def test_the_application_answers(root: Root, release: NobleRelease, tmp_path: Path) -> None:
    add_hollow_torch(root)
    service = start_service(root, release.claim.package, tmp_path / "log")
    service.wait_for(release.claim.paths, timeout=120)
    service.daemon.stop()
