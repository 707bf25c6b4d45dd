from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from debtool.model.errors import InputError
from debtool.model.stack import Source
from debtool.stack.trees import fetch_tree, patch_tree, tree_digest, tree_files

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
--- a/main.py
+++ b/main.py
@@ -1,3 +1,3 @@
 one
-two
+2
 three
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("main.py", "run.sh", "lib/a.py", "lib/__pycache__/a.pyc", "lib/data/b.json", ".git/HEAD", "docs/x.md"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one\ntwo\nthree\n")
    (root / "run.sh").chmod(0o755)
    (root / "link.py").symlink_to("lib/a.py")
    (root / "folder").symlink_to("lib")
    return root


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "patches"
    folder.mkdir()
    (folder / "series").write_text("# ours\ngood.patch # why\n\n")
    (folder / "good.patch").write_text(GOOD)
    return folder


def names(root: Path, **patterns: list[str]) -> list[str]:
    return [file.name for file in tree_files(root, **patterns)]


def test_files_and_links_in_the_order_of_paths(tree: Path) -> None:
    files = {file.name: file for file in tree_files(tree, exclude=[".git*", "__pycache__"])}
    assert sorted(files) == ["docs/x.md", "folder", "lib/a.py", "lib/data/b.json", "link.py", "main.py", "run.sh"]
    assert [name for name, file in files.items() if file.executable] == ["run.sh"]
    assert {name: file.link for name, file in files.items() if file.link} == {"folder": "lib", "link.py": "lib/a.py"}
    assert files["main.py"].size == 14


def test_patterns_match_paths_and_any_component(tree: Path) -> None:
    without = ["__pycache__", "lib/data/*", "*.md", ".git*", "link.py", "folder"]
    assert names(tree, exclude=without) == ["main.py", "run.sh", "lib/a.py"]
    assert names(tree, include=["lib/*.py", "docs/*"]) == ["docs/x.md", "lib/a.py"]
    assert names(tree, include=["lib/*"], exclude=["*.pyc", "*.json"]) == ["lib/a.py"]


def test_a_leading_slash_is_the_top_of_the_tree(tree: Path) -> None:
    (tree / "lib/main.py").write_text("")
    (tree / "data").mkdir()
    (tree / "data/c.json").write_text("")
    kept = names(tree, exclude=["/main.py", "/data", ".git", "__pycache__", "*.md", "link.py", "folder"])
    assert kept == ["run.sh", "lib/a.py", "lib/main.py", "lib/data/b.json"]


@pytest.mark.parametrize("link", ["../../etc/passwd", "/etc/passwd", "lib/../../outside"])
def test_a_link_that_leaves_the_tree_is_refused(tree: Path, link: str) -> None:
    (tree / "out").symlink_to(link)
    with pytest.raises(InputError, match=r"tree/out: link to .* leaves the tree; fix: exclude it"):
        names(tree)
    assert "main.py" in names(tree, exclude=["out"])


def test_what_is_no_file_is_refused(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(InputError, match="is neither file, folder nor link"):
        names(tree)


def test_the_digest_follows_names_modes_links_and_contents_only(tree: Path, tmp_path: Path) -> None:
    def digest(root: Path = tree) -> str:
        return tree_digest(list(tree_files(root)))

    before = digest()
    os.utime(tree / "main.py", (0, 0))
    (tree / "docs/x.md").chmod(0o600)
    assert digest() == before
    assert digest(tree.rename(tmp_path / "elsewhere")) == before
    tree = tmp_path / "elsewhere"
    (tree / "main.py").chmod(0o755)
    executable = digest(tree)
    (tree / "link.py").unlink()
    (tree / "link.py").symlink_to("main.py")
    linked = digest(tree)
    (tree / "main.py").write_text("one\ntwo\nthre3\n")
    assert len({before, executable, linked, digest(tree)}) == 4


def test_a_series_is_applied_to_a_copy_once(tree: Path, series: Path, tmp_path: Path) -> None:
    patched = patch_tree(tree, series, tmp_path / "cache")
    assert (patched / "main.py").read_text() == "one\n2\nthree\n"
    assert (tree / "main.py").read_text() == "one\ntwo\nthree\n"
    assert not (patched / ".git").exists()
    assert os.access(patched / "run.sh", os.X_OK)
    made = patched.stat().st_mtime_ns
    assert patch_tree(tree, series, tmp_path / "cache") == patched
    assert patched.stat().st_mtime_ns == made
    (tree / "lib/a.py").write_text("new\n")
    assert patch_tree(tree, series, tmp_path / "cache") != patched


def test_no_series_no_copy(tree: Path, tmp_path: Path) -> None:
    assert patch_tree(tree, None, tmp_path / "cache") == tree
    assert not (tmp_path / "cache").exists()


def test_what_is_left_out_is_not_copied(tree: Path, series: Path, tmp_path: Path) -> None:
    (tree / "models").mkdir()
    (tree / "models/huge.safetensors").write_bytes(bytes(1000))
    patched = patch_tree(tree, series, tmp_path / "cache", exclude=["/models", "docs"])
    assert not (patched / "models").exists()
    assert not (patched / "docs").exists()
    assert (patched / "main.py").read_text() == "one\n2\nthree\n"
    assert (patched / "run.sh").stat().st_mode & 0o100
    assert (patched / "folder").readlink().name == "lib"


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        (GOOD.replace("-two", "-zwei"), r"Hunk #1 FAILED"),
        # patch(1) would take it with fuzz 1: a context line is another.
        (GOOD.replace(" three", " four"), r"Hunk #1 FAILED"),
        (GOOD.replace("a/main.py", "a/none.py").replace("b/main.py", "b/none.py"), r"does not apply: .+"),
        (GOOD.replace("a/main.py", "a/../../x").replace("b/main.py", "b/../../x"), r"does not apply: .+"),
        ("no patch at all\n", r"does not apply: .+"),
    ],
)
def test_a_patch_that_does_not_apply_exactly_is_refused(
    tree: Path, series: Path, tmp_path: Path, patch: str, problem: str
) -> None:
    (series / "good.patch").write_text(patch)
    with pytest.raises(InputError, match=problem) as caught:
        patch_tree(tree, series, tmp_path / "cache")
    [issue] = caught.value.issues
    assert (issue.file, issue.fix) == (series / "good.patch", "refresh the patch for this tree")
    assert list((tmp_path / "cache/patched").iterdir()) == []


def test_a_patch_that_is_applied_already_is_refused(tree: Path, series: Path, tmp_path: Path) -> None:
    (tree / "main.py").write_text("one\n2\nthree\n")
    with pytest.raises(InputError, match="does not apply"):
        patch_tree(tree, series, tmp_path / "cache")


def test_missing_patches_are_told_together(tree: Path, series: Path, tmp_path: Path) -> None:
    (series / "series").write_text("good.patch\nb.patch\nc.patch\n")
    with pytest.raises(InputError) as caught:
        patch_tree(tree, series, tmp_path / "cache")
    assert [issue.file for issue in caught.value.issues] == [series / "b.patch", series / "c.patch"]
    (series / "series").unlink()
    with pytest.raises(InputError, match=r"series: cannot be read: .*; fix: write one patch file name a line"):
        patch_tree(tree, series, tmp_path / "cache")


def test_a_folder_is_relative_to_the_stack(tree: Path, tmp_path: Path) -> None:
    assert fetch_tree(Source(path="tree"), tmp_path, tmp_path / "cache") == tree
    with pytest.raises(InputError, match=r"there is no such source tree; fix: correct the source's path"):
        fetch_tree(Source(path="no"), tmp_path, tmp_path / "cache")
    with pytest.raises(InputError, match="a tree comes from a git commit or a folder"):
        fetch_tree(Source(url="x", sha256="0" * 64), tmp_path, tmp_path / "cache")


def test_a_commit_is_what_it_was_and_not_what_is_there_now(tree: Path, tmp_path: Path) -> None:
    (tree / ".git/HEAD").unlink()
    (tree / ".git").rmdir()
    git = ["git", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "main.py", "run.sh"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    (tree / "main.py").write_text("changed\n")
    source = Source(git=str(tree), commit=commit)
    fetched = fetch_tree(source, tmp_path, tmp_path / "cache")
    assert (fetched / "main.py").read_text() == "one\ntwo\nthree\n"
    assert names(fetched, exclude=[".git"]) == ["main.py", "run.sh"]
    assert fetch_tree(source, tmp_path, tmp_path / "cache") == fetched
