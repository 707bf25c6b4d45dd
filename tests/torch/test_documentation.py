"""docs/torch.md tells every command, option, phase, event, state, launcher and version, and none that there is not."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest

from debtool.build import journal
from debtool.build.health import State
from debtool.cli.torch.build import build
from debtool.torch.build import STEPS
from debtool.torch.launchers import LAUNCHERS
from debtool.torch.releases import releases
from debtool.torch.result import BUILD_TYPE
from debtool.torch.settings import Level, load_settings
from tests.cli.test_help import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/torch.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    parts = re.split(r"^##+ (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def table(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the one table whose heading row begins with ``heading``."""
    [rows] = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in rows.splitlines()]


def told(text: str, heading: str) -> list[str]:
    """Return the words in the first column of a table, without their quotes and remarks."""
    return [re.split(r"[` (]", row[0].lstrip("`"))[0] for row in table(text, heading)]


def commands(text: str) -> list[list[str]]:
    """Return the words of every debtool command in a block of code."""
    blocks = [
        *re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL),
        *re.findall(r"^    .+$", text, re.MULTILINE),
    ]
    lines = [line.split("#")[0].split(">")[0] for block in blocks for line in block.splitlines()]
    words = [shlex.split(line) for line in lines if "debtool" in line]
    return [line[line.index("debtool") + 1 :] for line in words]


@pytest.mark.parametrize("words", [*commands(PAGE), *commands(README.partition("## Build PyTorch")[2])], ids=" ".join)
def test_commands_can_be_typed(words: list[str], tmp_path: Path) -> None:
    assert words
    parse(words, tmp_path)


def test_every_option_of_the_build_is_told() -> None:
    listed = set(re.findall(r"--[a-z-]+", " ".join(row[0] for row in table(PAGE, "option"))))
    options = {
        name
        for option in build.params
        if isinstance(option, click.Option)
        for name in option.opts
        if name.startswith("--")
    }
    assert listed == options


def test_levels_launchers_states_and_phases() -> None:
    assert set(told(PAGE, "level")) == {level.value for level in Level}
    assert told(PAGE, "`--launcher`") == [*LAUNCHERS]
    assert told(PAGE, "state") == [*get_args(State)]
    phases = next(row[1] for row in table(PAGE, "`kind`") if row[0] == "`phase`")
    assert tuple(re.findall(r"`([a-z]+)`", phases)) == STEPS


def test_every_kind_of_event_is_told() -> None:
    kinds = [type_.__name__.lower() for type_ in get_args(journal.Event)]
    assert sorted(told(PAGE, "`kind`")) == sorted(kinds)
    endings = next(row[1] for row in table(PAGE, "`kind`") if row[0] == "`end`")
    assert tuple(re.findall(r"`([a-z]+)`", endings)) == get_args(get_type_hints(journal.End)["status"])


def test_every_release_is_told_with_its_torchvision() -> None:
    rows = table(section("Supported versions"), "series")
    assert [row[0] for row in rows] == [release.series for release in load_settings().release]
    checked = {release.series: release.checked for release in load_settings().release}
    for series, settings, pinned, vision in rows:
        known = [release for release in releases() if release.version.startswith(f"{series}.")]
        assert pinned == ", ".join(release.version for release in known)
        assert vision == ", ".join(release.vision for release in known)
        assert checked[series] == ("configured" if "configured" in settings else settings.split(",")[0].split(":")[0])


def test_the_build_type_is_explained_where_it_leads() -> None:
    assert f"`{BUILD_TYPE}`" in section("Provenance")


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(((?!https:)[^)]+)\)", PAGE)
    assert links
    for link in links:
        file, _, anchor = link.partition("#")
        page = ROOT / "docs" / (file or "torch.md")
        heads = re.findall(r"^##+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
