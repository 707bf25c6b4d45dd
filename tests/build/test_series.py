from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.build.series import apply_series, read_series, series_digest
from debtool.model.errors import InputError
from tests.support.sources import CHANGE, CHANGE_AGAIN, FILES, make_series, write_files

if TYPE_CHECKING:
    from pathlib import Path

NEW = """\
--- /dev/null
+++ b/new/file.txt
@@ -0,0 +1 @@
+new
"""
FILE = "tools/generate_torch_version.py"


def everything(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_a_later_patch_may_need_an_earlier_one(tmp_path: Path) -> None:
    tree = write_files(tmp_path / "tree", FILES)
    apply_series(read_series(make_series(tmp_path / "series", one=CHANGE, two=CHANGE_AGAIN, three=NEW)), tree)
    assert '"2.6.0+again"' in (tree / FILE).read_text()
    assert (tree / "new/file.txt").read_text() == "new\n"


@pytest.mark.parametrize("last", [CHANGE, CHANGE.replace("return", "retour"), "nothing\n"])
def test_a_series_is_applied_whole_or_not_at_all(tmp_path: Path, last: str) -> None:
    tree = write_files(tmp_path / "tree", FILES)
    before = everything(tree)
    series = make_series(tmp_path / "series", new=NEW, one=CHANGE, two=CHANGE_AGAIN, last=last)
    with pytest.raises(InputError, match="does not apply") as caught:
        apply_series(read_series(series), tree)
    assert caught.value.issues[0].file == series / "last.patch"
    assert everything(tree) == before


def test_a_patch_with_two_files_of_which_one_does_not_fit(tmp_path: Path) -> None:
    tree = write_files(tmp_path / "tree", FILES)
    before = everything(tree)
    both = CHANGE + CHANGE.replace(FILE, "setup.py")
    with pytest.raises(InputError, match="does not apply"):
        apply_series(read_series(make_series(tmp_path / "series", both=both)), tree)
    assert everything(tree) == before


def test_git_renames_are_tried_on_copies_too(tmp_path: Path) -> None:
    tree = write_files(tmp_path / "tree", FILES)
    rename = "diff --git a/setup.py b/build.py\nsimilarity index 100%\nrename from setup.py\nrename to build.py\n"
    apply_series(read_series(make_series(tmp_path / "series", rename=rename)), tree)
    assert not (tree / "setup.py").exists()
    assert (tree / "build.py").read_text() == FILES["setup.py"]


def test_a_patch_cannot_leave_the_tree(tmp_path: Path) -> None:
    tree = write_files(tmp_path / "tree", FILES)
    outside = write_files(tmp_path, {"outside.py": GENERATE}) / "outside.py"
    for name in ("../outside.py", "x/../../outside.py", "link.py"):
        (tree / "link.py").unlink(missing_ok=True)
        (tree / "link.py").symlink_to(outside)
        series = make_series(tmp_path / "series", away=CHANGE.replace(FILE, name))
        with pytest.raises(InputError, match="does not apply"):
            apply_series(read_series(series), tree)
    assert outside.read_text() == GENERATE


GENERATE = FILES[FILE]


def test_the_digest_follows_contents_and_order(tmp_path: Path) -> None:
    patches = read_series(make_series(tmp_path / "a", one=CHANGE, two=NEW))
    same = read_series(make_series(tmp_path / "b", uno=CHANGE, due=NEW))
    assert series_digest(patches) == series_digest(same)
    assert len({series_digest(patches), series_digest(patches[::-1]), series_digest(patches[:1])}) == 3
