"""PyYAML: its C parser and emitter."""

from __future__ import annotations

from typing import Any

import yaml


def round_trip() -> Any:
    """Reading and writing."""
    text = yaml.dump({"a": [1, 2.5, None, True], "b": {"c": "é: -", "d": "x" * 200}}, Dumper=yaml.CSafeDumper)
    return [text, yaml.load(text, Loader=yaml.CSafeLoader)]
