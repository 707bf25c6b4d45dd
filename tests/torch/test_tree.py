from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from debtool.model.errors import InputError
from debtool.torch.tree import check_tree, flavour_of, version_of
from tests.support.sources import FILES, write_files

if TYPE_CHECKING:
    from pathlib import Path

VERSION = Version("2.6.0+noavx")
USUAL = {f"third_party/{name}/LICENSE": "" for name in ("gloo", "cpuinfo", "onnx", "cutlass")}
ASMJIT = {"third_party/fbgemm/third_party/asmjit/CMakeLists.txt": ""}
MODULES = (
    '[submodule "third_party/gloo"]\n\tpath = third_party/gloo\n\turl = x\n[submodule "b"]\n\tpath = third_party/b\n'
)


def test_a_whole_tree(tmp_path: Path) -> None:
    assert check_tree(write_files(tmp_path / "a", {**FILES, **USUAL, **ASMJIT}), VERSION) == "upstream"
    named = {".gitmodules": MODULES, "third_party/gloo/a": "", "third_party/b/a": ""}
    assert check_tree(write_files(tmp_path / "b", {**FILES, **named}), VERSION) == "upstream"


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    tree = write_files(tmp_path / "tree", {"setup.py": "", "CMakeLists.txt": "project(Other)", "c10/a": ""})
    with pytest.raises(InputError) as caught:
        check_tree(tree, VERSION)
    [issue] = caught.value.issues
    assert (issue.file, issue.field) == (tree, "--source")
    assert issue.problem == (
        "is not PyTorch's source: it lacks version.txt, torch/, aten/, project(Torch …) in CMakeLists.txt"
    )


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (FILES, ", ".join(f"third_party/{name}" for name in ("gloo", "cpuinfo", "onnx", "fbgemm", "cutlass"))),
        ({**FILES, **USUAL}, "third_party/fbgemm"),
        ({**FILES, **USUAL, "third_party/fbgemm/LICENSE": ""}, "third_party/fbgemm/third_party/asmjit"),
        ({**FILES, ".gitmodules": MODULES, "third_party/gloo/.git": ""}, "third_party/gloo, third_party/b"),
    ],
)
def test_submodules_that_are_missing(tmp_path: Path, files: dict[str, str], missing: str) -> None:
    tree = write_files(tmp_path / "tree", files)
    with pytest.raises(InputError) as caught:
        check_tree(tree, VERSION)
    [issue] = caught.value.issues
    assert issue.fix == f"git -C {tree} submodule update --init --recursive"
    assert issue.problem == f"submodules are not there: {missing}"


def test_versions(tmp_path: Path) -> None:
    for text, expected in (("2.6.0a0\n", "2.6.0"), ("2.7.1", "2.7.1"), ("2.8.0a0+git1234", "2.8.0")):
        assert version_of(write_files(tmp_path, {"version.txt": text})) == Version(expected)
    with pytest.raises(InputError, match=r"version\.txt: has no version"):
        version_of(write_files(tmp_path, {"version.txt": "next\n"}))


def test_several_problems_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_tree(write_files(tmp_path / "tree", FILES), Version("2.7.1"))
    assert [issue.field for issue in caught.value.issues] == ["--source", "--version"]


@pytest.mark.parametrize("source", ["pytorch", "pytorch-cuda", "pytorch-rocm"])
def test_debians_flavour(tmp_path: Path, source: str) -> None:
    tree = write_files(tmp_path / "tree", {**FILES, "debian/control": f"Source: {source}\nSection: science\n"})
    assert check_tree(tree, VERSION) == "debian"
    write_files(tree, {"debian/patches/series": "# none\n\n"})
    assert check_tree(tree, VERSION) == "debian"
    write_files(tree, {"debian/patches/series": "a.patch\n"})
    with pytest.raises(InputError, match=r"Debian's patches are not applied; fix: unpack it with dpkg-source -x"):
        check_tree(tree, VERSION)
    write_files(tree, {".pc/applied-patches": "a.patch\n"})
    assert check_tree(tree, VERSION) == "debian"


def test_somebodys_debian_folder_is_not_debians_flavour(tmp_path: Path) -> None:
    control = {"debian/control": "Source: pytorch-vision\n"}
    assert flavour_of(write_files(tmp_path / "a", {**FILES, **control})) == "upstream"
    whole = {"debian/control": "Source: pytorch\n", "third_party/pybind11/setup.py": ""}
    assert flavour_of(write_files(tmp_path / "b", {**FILES, **whole})) == "upstream"
    shutil.rmtree(tmp_path / "b/third_party")
    assert flavour_of(tmp_path / "b") == "debian"
