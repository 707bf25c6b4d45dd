"""The examples in docstrings are right."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import debtool

ROOT = Path(debtool.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_there_are_examples() -> None:
    assert len(MODULES) > 10


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    # What is imported for types alone is at hand in examples too.
    names = {"Version": importlib.import_module("packaging.version").Version, **vars(module)}
    done = doctest.testmod(module, extraglobs=names)
    assert done.attempted
    assert done.failed == 0
