"""What patched functions do is asked in an unprivileged process of its own."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import pytest

from debtool.host.patcher import behaviour
from debtool.host.patcher.behaviour import Account, account_of, ask_import, ask_isolated
from debtool.host.patcher.errors import OutsideError, PatchError
from debtool.host.patcher.isolation import isolated_source
from debtool.host.patcher.recipe import parse
from debtool.host.patcher.text import patched_text
from tests.support.patches import TINY_TEXT, gradio, tiny

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = parse(gradio(), "patch.json")
TINY = parse(tiny(), "patch.json")


def asking(call: str) -> list[dict[str, object]]:
    return [{"name": "n", "call": call, "arguments": [{"const": 1}], "gives": ["x"], "level": "guide"}]


@pytest.mark.parametrize("level", ["guide", "full"])
def test_a_level_does_what_it_says_and_keeps_the_rest(sample: bytes, level: str) -> None:
    before, after = ask_isolated(RECIPE, [sample, patched_text(sample, RECIPE, level)])
    assert (before.level(), after.level()) == (None, level)
    assert after.wrong(level) == []
    assert after.changed(before) == []


def test_what_is_wrong_is_told_by_name(sample: bytes) -> None:
    (seen,) = ask_isolated(RECIPE, [sample])
    assert seen.wrong("guide")[0] == "additionalProperties: true: TypeError"
    assert len(seen.wrong("full")) == 9


def test_a_change_of_other_results_is_told(sample: bytes) -> None:
    changed = patched_text(sample, RECIPE, "full").replace(b'"string": "str"', b'"string": "text"')
    before, after = ask_isolated(RECIPE, [sample, changed])
    assert after.wrong("full") == []
    assert 'json_schema_to_python_type[{"type": "string"}]: text, was str' in after.changed(before)


def test_an_exception_counts_by_its_type(sample: bytes) -> None:
    changed = sample.replace(b"raise APIInfoParseError(", b"raise KeyError(")
    before, after = ask_isolated(RECIPE, [sample, changed])
    assert after.changed(before) == [
        'json_schema_to_python_type[{"type": ["string", "null"]}]: KeyError, was APIInfoParseError'
    ]


@pytest.mark.parametrize("wild", ["import os; os.abort()", "import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_code_that_ends_the_process_is_a_failure(sample: bytes, wild: str) -> None:
    text = sample.replace(b'        return "const"', b"        " + wild.encode())
    with pytest.raises(PatchError, match="the functions do not run"):
        ask_isolated(RECIPE, [text])


def test_code_that_does_not_end_is_ended(sample: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behaviour, "ISOLATED_SECONDS", 1)
    text = sample.replace(b'        return "const"', b"        import time; time.sleep(300)")
    with pytest.raises(PatchError, match="no answer within 1 s"):
        ask_isolated(RECIPE, [text])


def test_an_answer_without_end_is_none(sample: bytes) -> None:
    wild = b"        import os\n        while True: os.write(3, b'x' * 65536)"
    text = sample.replace(b'        return "const"', wild)
    with pytest.raises(PatchError, match="the functions do not run"):
        ask_isolated(RECIPE, [text])


def test_nothing_of_this_process_is_open_or_known_there(sample: bytes, tmp_path: Path) -> None:
    wild = b"        import os; return repr((sorted(os.listdir('/proc/self/fd')), dict(os.environ), os.getcwd()))"
    text = sample.replace(b'        return "const"', wild)
    with (tmp_path / "file").open("w"):
        (seen,) = ask_isolated(parse(gradio(checks=asking("get_type"), keeps=[]), "p"), [text])
    # 0 to 2 lead nowhere, 3 is the answer's, 4 is the listing's own.
    assert seen.checks[0].text == "(['0', '1', '2', '3', '4'], {}, '/')"


def test_what_the_functions_print_is_no_answer(sample: bytes) -> None:
    text = sample.replace(b'        return "const"', b'        print("{}"); return "const"')
    (seen,) = ask_isolated(RECIPE, [text])
    assert len(seen.checks) == 9


def test_the_functions_never_run_as_root(sample: bytes) -> None:
    text = sample.replace(b'        return "const"', b"        import os; return str(os.geteuid())")
    (seen,) = ask_isolated(parse(gradio(checks=asking("get_type"), keeps=[]), "p"), [text])
    assert seen.checks[0].text == str(os.geteuid() or 65534)


def test_the_functions_may_write_nothing(sample: bytes, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    text = sample.replace(
        b'        return "const"', f"        print('x', file=open('{tmp_path}/new', 'w'), flush=True)".encode()
    )
    (seen,) = ask_isolated(parse(gradio(checks=asking("get_type"), keeps=[]), "p"), [text])
    assert seen.checks[0].text in {"OSError", "PermissionError"}
    assert not (tmp_path / "new").exists() or not (tmp_path / "new").read_text()


def test_an_argument_that_is_changed_is_new_for_the_next() -> None:
    text = b"def f(x):\n    x.append(1)\n    return x\n"
    check = {"name": "n", "call": "f", "arguments": [[]], "gives": ["[1]"], "level": "all"}
    edit = {"function": "f", "where": "start", "test": "{0} is None", "then": "return", "level": "all"}
    recipe = parse(tiny(edits=[edit], checks=[check, check], keeps=[]), "p")
    assert [seen.wrong("all") for seen in ask_isolated(recipe, [text, text])] == [[], []]


def test_an_address_in_a_value_is_no_change() -> None:
    text = b"def f(x):\n    return object()\n"
    edit = {"function": "f", "where": "start", "test": "{0} is None", "then": "return", "level": "all"}
    check = {"name": "n", "call": "f", "arguments": [0], "gives": ["x"], "level": "all"}
    recipe = parse(tiny(edits=[edit], checks=[check], keeps=[{"call": "f", "arguments": [1]}]), "p")
    before, after = ask_isolated(recipe, [text, b"x = [object() for _ in range(9)]\n" + text])
    assert after.changed(before) == []


class TestIsolatedSource:
    def test_no_imports_but_the_standard_librarys(self, sample: bytes) -> None:
        source = isolated_source(RECIPE, sample)
        assert "a_module_that_is_not_installed" not in source
        assert "FILE_DATA" in source
        assert "class APIInfoParseError" in source
        tiny_source = isolated_source(TINY, b"import acme\nUNUSED = acme.x\n" + TINY_TEXT.encode())
        assert "import re" in tiny_source
        assert "from functools import lru_cache" in tiny_source
        assert "acme" not in tiny_source
        assert ask_isolated(TINY, [patched_text(TINY_TEXT.encode(), TINY, "all")])[0].level() == "all"

    def test_a_function_that_is_not_there(self, sample: bytes) -> None:
        with pytest.raises(PatchError, match="there is no function json_schema_to_python_type"):
            isolated_source(RECIPE, sample.replace(b"def json_schema_to_python_type", b"def other"))

    def test_other_encodings(self) -> None:
        text = b"\xef\xbb\xbf" + TINY_TEXT.replace("'''Split at commas.'''", "'''é'''").encode()
        assert isolated_source(TINY, text).count("é") == 1
        latin = b"# coding: latin-1\n" + TINY_TEXT.replace("'''Split at commas.'''", "'''é'''").encode("latin-1")
        assert isolated_source(TINY, latin).count("é") == 1


class TestImport:
    def package(self, folder: Path, text: bytes) -> str:
        """Return an interpreter that imports gradio_client from a folder."""
        (folder / "gradio_client").mkdir()
        (folder / "gradio_client/__init__.py").touch()
        (folder / "gradio_client/utils.py").write_bytes(text)
        program = folder / "python"
        program.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
        program.chmod(0o755)
        return str(program)

    def test_what_is_really_imported(self, tmp_path: Path, importable: bytes) -> None:
        python = self.package(tmp_path, patched_text(importable, RECIPE, "guide"))
        seen = ask_import(RECIPE, python, None)
        assert seen.file == str(tmp_path / "gradio_client/utils.py")
        assert seen.behaviour is not None
        assert seen.behaviour.level() == "guide"
        assert not (tmp_path / "gradio_client/__pycache__").exists()

    def test_what_cannot_be_imported(self, tmp_path: Path, sample: bytes) -> None:
        seen = ask_import(RECIPE, self.package(tmp_path, sample), None)
        assert seen.behaviour is None
        assert "No module named 'a_module_that_is_not_installed'" in seen.why

    def test_an_interpreter_that_dies_or_is_not_there(self, tmp_path: Path, importable: bytes) -> None:
        python = self.package(tmp_path, importable + b"import os\nos.abort()\n")
        assert "exit status" in ask_import(RECIPE, python, None).why
        assert "No such file" in ask_import(RECIPE, str(tmp_path / "none"), None).why

    def test_what_a_module_prints_is_no_answer(self, tmp_path: Path, importable: bytes) -> None:
        python = self.package(tmp_path, importable + b"print('hello')\n")
        assert ask_import(RECIPE, python, None).behaviour is not None


def test_whom_an_import_runs_as() -> None:
    if os.geteuid() != 0:
        assert account_of(0, 0) is None
        return
    assert account_of(0, 0) == Account(65534, 65534)
    assert account_of(12345, 54321) == Account(12345, 54321)
    assert account_of(1, 1) == Account(1, 1, "/usr/sbin")


def test_no_process_can_be_had(sample: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(OutsideError, match="no process for the functions: Resource temporarily unavailable"):
        ask_isolated(RECIPE, [sample])
