from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.bundles import bundle, compressed, paged, rocm_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program

CONTROL = "Package: x\nVersion: 1\nArchitecture: amd64\nMaintainer: X <x@example.org>\nDescription: x\n"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of three bundles, one of them for no GPU but gfx1032."""
    folder = tmp_path / "lib"
    folder.mkdir()
    section = paged(bundle("gfx1030", "gfx1032"), compressed(bundle("gfx1032")), bundle("gfx10-3-generic"))
    (tmp_path / "section").write_bytes(section)
    subprocess.run(["gcc", "-shared", "-o", folder / "libx.so", "-x", "c", "/dev/null"], check=True)
    add = f".hip_fatbin={tmp_path / 'section'}"
    subprocess.run(["objcopy", "--add-section", add, folder / "libx.so"], check=True)
    (folder / "libx.so.1").symlink_to("libx.so")
    (folder / "notes.txt").write_text("nothing")
    return folder / "libx.so"


def test_a_library_needs_the_gpu_s_code_in_every_bundle(program: Program, library: Path) -> None:
    done = program("audit", "gpu", library)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[1].split() == [str(library), "3", "gfx10-3-generic", "gfx1030", "gfx1032"]
    assert program("audit", "gpu", library, "--for", "gfx1032").code == 0
    done = program("audit", "gpu", library, "--for", "gfx1030")
    assert done.code == 1
    assert f"{library}: 1 of 3 bundles have no code that gfx1030 runs" in done.out
    assert "2 of 3 bundles" in program("audit", "gpu", library, "--for", "gfx1030", "--no-generic").out


def test_folders_packages_and_wheels_are_looked_into(
    program: Program, library: Path, tmp_path: Path, cache: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(CONTROL)
    (tree / "usr").mkdir()
    library.rename(tree / "usr/libx.so")
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, tmp_path / "x.deb"], check=True)
    wheel = rocm_wheel(cache)
    done = program("audit", "gpu", tree, tmp_path / "x.deb", wheel, "--for", "gfx1030", "--json")
    report = json.loads(done.out)
    assert (done.code, report["kind"], report["for"]) == (1, "audit-gpu", "gfx1030")
    assert [entry["file"] for entry in report["files"][:3]] == [
        f"{tree}/usr/libx.so",
        f"{tmp_path}/x.deb:/usr/libx.so",
        f"{wheel}:jax_rocm60_plugin/_blas.so",
    ]
    bundles = [["gfx1030", "gfx1032"], ["gfx1032"], ["gfx10-3-generic"]]
    assert report["files"][0]["bundles"] == report["files"][1]["bundles"] == bundles
    assert len(report["findings"]) == 2


def test_of_files_that_are_nothing_but_code_one_in_a_folder_will_do(program: Program, tmp_path: Path) -> None:
    for gpu in ("gfx906", "gfx1030", "gfx1100"):
        (tmp_path / f"Kernels_{gpu}.co").write_bytes(bundle(gpu))
    assert program("audit", "gpu", tmp_path, "--for", "gfx1030").code == 0
    (tmp_path / "Kernels_gfx1030.co").unlink()
    done = program("audit", "gpu", tmp_path, "--for", "gfx1030")
    assert done.code == 1
    assert f"{tmp_path}: no code object that gfx1030 runs; there are some for gfx1100, gfx906" in done.out


def test_what_cannot_be_read_cannot_be_judged(program: Program, tmp_path: Path) -> None:
    (tmp_path / "x.co").write_bytes(bundle("gfx1030")[:-1])
    assert program("audit", "gpu", tmp_path).code == 0
    done = program("audit", "gpu", tmp_path, "--for", "gfx1030")
    assert done.code == 1
    assert "x.co: cannot be judged: at byte 0: the bundle reaches beyond its section" in done.out


def test_no_device_code_is_no_finding(program: Program, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("import x")
    done = program("audit", "gpu", tmp_path, "--for", "gfx1030")
    assert (done.code, done.out) == (0, "no device code\n")


def test_a_path_that_is_not_there_is_told(program: Program, tmp_path: Path) -> None:
    done = program("audit", "gpu", tmp_path / "x.so", tmp_path / "y.whl")
    assert (done.code, done.err.count("there is no such file")) == (2, 2)
