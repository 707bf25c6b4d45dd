"""The pages on definition files tell every key, and no key that does not exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.model import archive, patch, stack, target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from debtool.model.definition import Strict

DOCS = Path(__file__).parents[2] / "docs"
MODELS: Mapping[str, Mapping[str, type[Strict]]] = {
    "stack.md": {
        "The file itself": stack.Stack,
        "`[requirements]`": stack.Requirements,
        "`[[artefact]]`": stack.Artefact,
        "`source`": stack.Source,
        "`[wheel.NAME]`": stack.WheelSettings,
        "`[[exception]]`": stack.AuditException,
        "`[[rebuild]]`": stack.Rebuild,
        "`[[package]]`": stack.RuntimePackage,
        '`recipe = "patch"`': stack.PatchPackage,
        '`recipe = "tree"`': stack.TreePackage,
        "`[[package.parts]]`": stack.Part,
        "`[package.service]`": stack.Service,
    },
    "targets.md": {
        "The file itself": target.Target,
        "`[sonames]`": target.Soname,
        "`[rocm]`": target.Rocm,
        "`[rocm.source]`": target.AptSource,
    },
    "archive.md": {"The file itself": archive.ArchiveDefinition},
    "patches.md": {
        "The file itself": patch.Patch,
        "`[[edits]]`": patch.Edit,
        "`[[checks]]`": patch.Check,
        "`[[keeps]]`": patch.Keep,
        "`[needed_with]`": patch.NeededWith,
    },
}
PARSERS: Mapping[str, Callable[[str, Path], object]] = {
    "stack.md": stack.parse_stack,
    "targets.md": target.parse_target,
    "archive.md": archive.parse_archive,
    "patches.md": patch.parse_patch,
}


def sections(page: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", (DOCS / page).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> dict[str, list[str]]:
    found = re.findall(r"^\| `([a-z0-9_]+)` \|(.+)\|$", section, flags=re.MULTILINE)
    return {key: [cell.strip() for cell in rest.split("|")] for key, rest in found}


def keys(model: type[Strict]) -> set[str]:
    own = {field.alias or name for name, field in model.model_fields.items()}
    if issubclass(model, stack.PatchPackage | stack.TreePackage):
        own -= keys(stack.RuntimePackage)
    return own


@pytest.mark.parametrize(("page", "section"), [(page, section) for page in MODELS for section in MODELS[page]])
def test_every_key_is_told_and_no_other(page: str, section: str) -> None:
    told = rows(sections(page)[section])
    model = MODELS[page][section]
    assert set(told) == keys(model)
    for key, cells in told.items():
        kind, default, meaning = cells
        field = next(field for name, field in model.model_fields.items() if (field.alias or name) == key)
        assert kind, key
        assert meaning, key
        assert (default == "") is field.is_required(), key


@pytest.mark.parametrize("page", MODELS)
def test_every_table_belongs_to_a_model_and_every_example_is_right(page: str) -> None:
    assert set(MODELS[page]) == set(sections(page))
    [example] = re.findall(r"^```toml\n(.*?)^```$", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    PARSERS[page](example, Path(page))


@pytest.mark.parametrize("page", MODELS)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^):]+)\)", (DOCS / page).read_text()):
        assert (DOCS / link).is_file(), link


def test_every_recipe_is_told() -> None:
    cell = rows(sections("stack.md")["`[[package]]`"])["recipe"][0]
    known = {model.model_fields["recipe"].annotation.__args__[0] for model in stack.BasePackage.__subclasses__()}  # type: ignore[union-attr]
    assert set(re.findall(r"`([a-z]+)`", cell)) == known
