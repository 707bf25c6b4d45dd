"""patch.json is validated as a whole when it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from debtool.host.patcher.errors import DocumentError
from debtool.host.patcher.recipe import load, parse
from tests.support.patches import gradio, tiny, write_patch

if TYPE_CHECKING:
    from pathlib import Path

START = {"function": "f", "where": "start", "test": "{0} is None", "then": "return", "level": "guide"}
CHECK = {"name": "n", "call": "f", "arguments": [], "gives": ["1"], "level": "guide"}


def test_what_a_document_says() -> None:
    recipe = parse(
        gradio(diverted={"target": "/v/gradio_client/utils.py", "pristine": "/v/gradio_client/utils.py.x"}), "p"
    )
    assert (recipe.module, recipe.file, recipe.affected) == (
        "gradio_client.utils", "gradio_client/utils.py", (("0.7.0", "1.8.0"),),
    )  # fmt: skip
    assert [len(recipe.edits_of(level)) for level in recipe.levels] == [2, 5]
    assert [len(recipe.checks_of(level)) for level in recipe.levels] == [4, 9]
    assert recipe.reaches("full", "guide")
    assert not recipe.reaches("guide", "full")
    assert not recipe.reaches(None, "guide")


def test_open_ends_and_a_top_level_module() -> None:
    recipe = parse(tiny(affected=[[None, "1.0"], ["2.0", None]]), "p")
    assert recipe.affected == ((None, "1.0"), ("2.0", None))
    assert recipe.module == "tinywords"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": 1}, "schema: must be 2"),
        ({"schema": True}, "schema: must be int"),
        ({"package": "../x"}, "package: '../x' is not of the form"),
        ({"comment": "é"}, "comment: 'é'"),
        ({"comment": ""}, "comment: must not be empty"),
        ({"file": "/etc/passwd.py"}, "file: '/etc/passwd.py'"),
        ({"file": "gradio_client/../x.py"}, "file: "),
        ({"import": "gradio_client.other"}, "import: must be gradio_client.utils"),
        ({"affected": [["1.0"]]}, r"affected\[0\]: must be \[FROM, TO\]"),
        ({"affected": [["1.0b1", None]]}, r"affected\[0\]"),
        ({"needed_with": {"distribution": "pydantic"}}, "needed_with.from: must be str, not missing"),
        ({"needed_with": {"distribution": "p", "from": "2", "to": "3"}}, "needed_with.to: unknown key"),
        ({"needed_with": {"distribution": "p", "from": "2", "unless": ""}}, "needed_with.unless: must not be empty"),
        ({"prevention": {"constraint": "p<2", "file": "relative"}}, "prevention.file"),
        ({"restart": ["a b.service"]}, r"restart\[0\]"),
        ({"levels": []}, "levels: one at least"),
        ({"levels": ["guide", "guide", "full"]}, "levels: one at least, each once"),
        ({"ships": "most"}, "ships: most is none of levels"),
        ({"edits": [{**START, "level": "x"}]}, r"edits\[0\].level: x is none of levels"),
        ({"edits": []}, "edits: the first level needs one"),
        ({"checks": [{**CHECK, "level": "full"}]}, "checks: the first level needs one"),
        ({"edits": [{**START, "test": "if"}]}, r"edits\[0\].test: no Python expression"),
        ({"edits": [{**START, "then": "return )"}]}, r"edits\[0\].then: no Python statement"),
        ({"edits": [{**START, "then": "a = 1; b = 2"}]}, r"edits\[0\].then: must be one statement"),
        ({"edits": [{**START, "then": "pass  # no"}]}, r"edits\[0\].then: must be one statement"),
        ({"edits": [{**START, "where": "before"}]}, r"edits\[0\].where"),
        ({"edits": [{**START, "assigns": "x"}]}, r"edits\[0\].assigns: unknown key"),
        ({"edits": [{**START, "where": "after"}]}, r"edits\[0\].assigns: must be str, not missing"),
        ({"edits": ["x"]}, r"edits\[0\]..*must be an object"),
        ({"checks": [{**CHECK, "fold": 1}]}, r"checks\[0\].fold: must be bool"),
        ({"diverted": {"target": "/a/gradio_client/utils.py", "pristine": "/b.py"}}, "diverted.pristine"),
        ({"diverted": {"target": "/a/u.py", "pristine": "/a/u.py.distrib"}}, "diverted.target: must end with file"),
        ({"surprise": 1}, "surprise: unknown key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_field(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DocumentError, match=rf"patch.json: {told}.*; fix: ") as caught:
        parse(gradio(**changes), "patch.json")
    assert "Traceback" not in str(caught.value)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(DocumentError) as caught:
        parse(gradio(package="", ships=3, keeps=[{}]), "p")
    assert [line.partition(": ")[2].partition(":")[0] for line in str(caught.value).splitlines()] == [
        "package", "ships", "keeps[0].call", "keeps[0].arguments",
    ]  # fmt: skip


def test_no_document(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        load(str(tmp_path / "patch.json"))
    file = write_patch(tmp_path, gradio())
    file.write_text(file.read_text()[:-20])
    with pytest.raises(DocumentError, match="cannot be read"):
        load(str(file))
    with pytest.raises(DocumentError, match="must be an object"):
        parse([], "p")
