from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from debtool.build.series import apply_series, read_series
from debtool.model.shipped import shipped
from debtool.model.stack import parse_stack
from debtool.torch.releases import find_release, releases, series_for, steps_for
from tests.support.sources import write_files

if TYPE_CHECKING:
    from pathlib import Path

# The function as Debian's 2000-version.patch leaves it, with what our patch needs around its last line.
GENERATE = """\
import os
from pathlib import Path


def get_torch_version(sha: str | None = None) -> str:
    pytorch_root = Path(__file__).absolute().parent.parent
    version = open(pytorch_root / "version.txt").read().strip()

    return version + '+debian'


if __name__ == "__main__":
"""


def test_releases_are_in_order_and_each_once() -> None:
    versions = [Version(release.version) for release in releases()]
    assert versions == sorted(set(versions))
    commits = [commit for release in releases() for commit in (release.commit, release.vision_commit) if commit]
    assert len(commits) == len(set(commits))


def test_a_release_is_found_whatever_its_local_part() -> None:
    found = find_release(Version("2.7.1+rocm6.3.noavx"))
    assert found is not None
    assert (found.commit, found.vision) == ("e2d141dbde55c2a4370fac5165b0561b6af4798b", "0.22.1")
    assert find_release(Version("2.7.1rc1")) is None
    assert find_release(Version("1.0")) is None


def test_the_stacks_companions_are_the_same_commits() -> None:
    file = shipped("repo/cheesegrater.toml")
    stack = parse_stack(file.read_text(encoding="utf-8"), file)
    found = {
        (artefact.version, artefact.source.commit)
        for artefact in stack.artefact
        if artefact.name == "torchvision" and artefact.source is not None and artefact.source.commit is not None
    }
    assert found
    assert found <= {(release.vision, release.vision_commit) for release in releases()}


def test_steps_and_patches_by_flavour_and_version() -> None:
    assert [step.name for step in steps_for("debian", Version("2.6.0+noavx"))] == ["flatbuffers"]
    assert steps_for("debian", Version("2.7.0")) == ()
    found = series_for("debian", Version("2.6.0+noavx"))
    assert found is not None
    assert found.name == "debian-2.6"
    assert [series_for("debian", Version("2.60.0")), series_for("upstream", Version("2.6.0"))] == [None, None]


def test_every_series_of_ours_is_whole_and_says_why() -> None:
    folder = series_for("debian", Version("2.6.0"))
    assert folder is not None
    for series in folder.parent.iterdir():
        flavour, _dash, release = series.name.partition("-")
        assert flavour in {"debian", "upstream"}
        assert SpecifierSet(f"=={release}.*")
        assert {patch.name for patch in read_series(series)} == {file.name for file in series.glob("*.patch")}
        assert all(patch.read_text().startswith("Description: ") for patch in read_series(series))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "2.6.0+debian"),
        ({"PYTORCH_BUILD_VERSION": "2.6.0+noavx", "PYTORCH_BUILD_NUMBER": "1"}, "2.6.0+noavx"),
        ({"PYTORCH_BUILD_VERSION": "2.6.0", "PYTORCH_BUILD_NUMBER": "3"}, "2.6.0.post3"),
    ],
)
def test_debians_tree_says_the_version_that_it_is_told(
    tmp_path: Path, variables: dict[str, str], expected: str
) -> None:
    # The patch has the line of the real file; patch(1) finds it here by its context.
    tree = write_files(tmp_path / "tree", {"version.txt": "2.6.0\n", "tools/generate_torch_version.py": GENERATE})
    folder = series_for("debian", Version("2.6.0"))
    assert folder is not None
    [patch] = [one for one in read_series(folder) if "+++ b/tools/generate_torch_version.py" in one.read_text()]
    apply_series([patch], tree)
    script = "import sys; sys.path.insert(0, 'tools'); import generate_torch_version as g; print(g.get_torch_version())"
    write_files(
        tree, {"tools/generate_torch_version.py": (tree / "tools/generate_torch_version.py").read_text() + "    pass\n"}
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tree, env=variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
