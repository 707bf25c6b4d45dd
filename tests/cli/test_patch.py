"""``debtool patch``: new, list, test."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from debtool.model.patch import parse_patch, unfilled
from tests.support.patch_packages import WORDS, WORDS_TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program
    from tests.support.wheels import TinyWheels
    from tests.support.workshops import Workshop

PACKAGE = """
[[package]]
recipe = "patch"
name = "words"
patch = "patches/words.toml"
summary = "patch of words"
description = "Patches."
"""
NEW = ("patch", "new", "words", "--distribution", "word-list", "--file", "words/__init__.py", "--function", "first")


@pytest.fixture
def patch_file(tmp_path: Path) -> Path:
    file = tmp_path / "words.toml"
    file.write_text(WORDS)
    return file


def words_wheel(index: TinyWheels, version: str, text: bytes | None = WORDS_TEXT) -> Path:
    files = {"words/__init__.py": text} if text is not None else {}
    return index.wheel("word-list", version, body=None, files=files)


class TestNew:
    def test_it_is_a_valid_patch_that_nothing_is_built_of(self, program: Program, workshop: Workshop) -> None:
        stack = workshop.folder / "stack.toml"
        done = program("--config", stack, *NEW)
        file = workshop.folder / "patches/words.toml"
        assert (done.code, done.err) == (0, "")
        assert f"wrote {file}" in done.out
        patch = parse_patch(file.read_text(), file)
        assert (patch.distribution, patch.edits[0].function, patch.checks[0].call) == ("word-list", "first", "first")
        assert "edits[1].test" in unfilled(patch)
        tried = program("--config", stack, "patch", "test", file)
        assert tried.code == 2
        assert "defect: is not filled in yet (FILL-IN) (docs/patches.md); fix: replace FILL-IN" in tried.err
        # The table that it prints makes a package of it, which a release refuses as long.
        stack.write_text(stack.read_text() + "\n" + done.out[done.out.index("[[package]]") :])
        planned = program("--config", stack, "plan", "--target", "here", "--no-bytecode")
        assert planned.code == 2
        assert "checks[1].gives[1]: is not filled in yet" in planned.err
        listed = program("--config", stack, "patch", "list")
        assert (listed.code, listed.err) == (0, f"{file} is not filled in yet\n")

    def test_filled_in_it_passes(self, program: Program, workshop: Workshop) -> None:
        stack, file = workshop.folder / "stack.toml", workshop.folder / "patches/words.toml"
        program("--config", stack, *NEW)
        text = file.read_text().replace("# Nothing is built of it before each FILL-IN is replaced", "# Tried")
        for old, new in {
            'affected = ">=0"': 'affected = "<3"',
            '{0} == "FILL-IN"': "not {0}",
            'raise ValueError("FILL-IN")': "return None",
            "'[\"FILL-IN\"]'": "'[[]]'",
            'gives = ["FILL-IN"]': 'gives = ["None"]',
        }.items():
            assert old in text
            text = text.replace(old, new)
        file.write_text(text.replace("FILL-IN", "an empty list"))
        done = program("--config", stack, "patch", "test", file, "--wheel", words_wheel(workshop.wheels, "2.3"))
        assert (done.code, "good" in done.out) == (0, True), done.out + done.err

    def test_inner_functions_are_checked_by_the_outer_one(self, program: Program, workshop: Workshop) -> None:
        new = [*NEW[:-1], "outer.inner", "--dry-run", "--json"]
        done = program("--config", workshop.folder / "stack.toml", *new)
        told = json.loads(done.out)
        assert (told["written"], (workshop.folder / "patches").exists()) == (False, False)
        patch = parse_patch(told["text"], workshop.folder)
        assert (patch.edits[0].function, patch.checks[0].call) == ("outer.inner", "outer")

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("words/__init__.py", "words.c", "file: 'words.c' is no module below site-packages"),
            ("first", "a-b", "edits[1].function: 'a-b' names no function"),
            ("word-list", "!", "distribution: '!' is no distribution name"),
            ("first", 'a"\nb', "names no function"),
        ],
    )
    def test_wrong_values_are_told_by_the_files_own_rules(
        self, program: Program, workshop: Workshop, old: str, new: str, told: str
    ) -> None:
        arguments = [new if one == old else one for one in NEW]
        done = program("--config", workshop.folder / "stack.toml", *arguments)
        assert done.code == 2
        assert told in done.err
        assert not (workshop.folder / "patches").exists()

    def test_what_is_there_stays(self, program: Program, workshop: Workshop) -> None:
        stack, file = workshop.folder / "stack.toml", workshop.folder / "patches/words.toml"
        program("--config", stack, *NEW)
        file.write_text("mine")
        done = program("--config", stack, *NEW)
        assert done.code == 2
        assert "is there already" in done.err
        assert file.read_text() == "mine"
        taken = program("--config", stack, *["app" if one == "words" else one for one in NEW])
        assert (taken.code, "has a package 'app' already" in taken.err) == (2, True)


class TestList:
    def test_what_each_touches(self, program: Program, workshop: Workshop, patch_file: Path) -> None:
        stack = workshop.folder / "stack.toml"
        assert "the stack has no patch" in program("--config", stack, "patch", "list").out
        (workshop.folder / "patches").mkdir()
        patch_file.rename(workshop.folder / "patches/words.toml")
        stack.write_text(stack.read_text() + PACKAGE)
        [row] = program("--config", stack, "patch", "list").out.splitlines()[1:]
        assert re.split(r" {2,}", row) == [
            "acme-words", "word-list", "~=2.1", "words/__init__.py", "Words.join, first", "full",
        ]  # fmt: skip
        told = json.loads(program("--config", stack, "patch", "list", "--json").out)
        assert (told["kind"], told["patches"][0]["checks"], told["patches"][0]["unfilled"]) == ("patch-list", 1, [])


class TestTry:
    def test_each_side_of_the_range_is_fetched_and_tried(
        self, program: Program, patch_file: Path, tiny_index: TinyWheels
    ) -> None:
        for version in ("1.0", "2.0", "2.1", "2.5", "2.9", "3.0", "3.5", "4.0"):
            words_wheel(tiny_index, version)
        done = program("patch", "test", patch_file)
        assert done.code == 0, done.out + done.err
        rows = [line.split() for line in done.out.splitlines() if "note" not in line][1:]
        assert [(row[0], row[1], row[3]) for row in rows] == [
            ("2.0", "no", "no"), ("2.1", "yes", "yes"), ("2.9", "yes", "yes"), ("3.0", "no", "no"), ("4.0", "no", "no"),
        ]  # fmt: skip
        told = json.loads(program("patch", "test", patch_file, "--versions", "2.5", "--json").out)
        [trial] = told["trials"]
        assert trial["before"] == ["an empty list: IndexError"]
        assert (trial["after"], trial["problems"], trial["state"]) == ([], [], "patched")
        assert len(json.loads(program("patch", "test", patch_file, "--versions", "all", "--json").out)["trials"]) == 8

    def test_an_affected_one_that_cannot_be_mended_fails(
        self, program: Program, patch_file: Path, tiny_index: TinyWheels
    ) -> None:
        wheel = words_wheel(tiny_index, "2.3", WORDS_TEXT.replace(b"def first", b"def initial"))
        done = program("patch", "test", patch_file, "--wheel", wheel)
        assert done.code == 1
        assert "2.3: unpatchable: there is no function first" in done.err
        missing = program("patch", "test", patch_file, "--wheel", words_wheel(tiny_index, "2.4", None))
        assert missing.code == 1
        assert "2.4: missing: there is no such file" in missing.err

    def test_a_patch_that_does_not_mend_fails(self, program: Program, patch_file: Path, tiny_index: TinyWheels) -> None:
        patch_file.write_text(WORDS.replace('then = "return None"', 'then = "return 0"'))
        done = program("patch", "test", patch_file, "--wheel", words_wheel(tiny_index, "2.3"))
        assert done.code == 1
        assert "an empty list: 0" in done.err
        patch_file.write_text(WORDS.replace('test = "len({0}) == 0"\nthen', 'test = "{0} != 0"\nthen'))
        done = program("patch", "test", patch_file, "--wheel", words_wheel(tiny_index, "2.3"))
        assert done.code == 1
        assert 'first[["a", "b"]]: None, was a' in done.err

    def test_ranges_that_are_too_wide_or_too_narrow_are_noted(
        self, program: Program, patch_file: Path, tiny_index: TinyWheels
    ) -> None:
        mended = WORDS_TEXT.replace(b"return words[0]", b"return words[0] if words else None")
        wide = program("patch", "test", patch_file, "--wheel", words_wheel(tiny_index, "2.3", mended))
        assert "note: 2.3: affected, but right before it is patched" in wide.out
        narrow = program("patch", "test", patch_file, "--wheel", words_wheel(tiny_index, "3.1"))
        assert narrow.code == 0
        assert "note: 3.1: not affected, yet 1 check not passed, such as an empty list: IndexError" in narrow.out

    def test_what_cannot_be_tried_is_told(
        self, program: Program, patch_file: Path, tiny_index: TinyWheels, tmp_path: Path
    ) -> None:
        other = tiny_index.wheel("other", "1.0")
        broken = tmp_path / "word_list-2.3-py3-none-any.whl"
        broken.write_bytes(b"no zip")
        for arguments, told in (
            (("--wheel", other), "is no wheel of word-list"),
            (("--wheel", broken), "cannot be read"),
            (("--wheel", patch_file), "is no wheel"),
            (("--wheel", other, "--versions", "1"), "give one"),
            (("--versions", "new"), "--versions"),
            (("--versions", "9.9"), "offers no wheel to download word-list 9.9"),
            ((), "offers no wheel to list the versions of word-list"),
        ):
            done = program("patch", "test", patch_file, *arguments)
            assert (done.code, told in done.err) == (2, True), done.err
