"""Default values of the page's fields in ui-config.json, with Forge's keys: "tab/label/property"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modules.paths import write_text

DEFAULTS: dict[str, Any] = {
    "txt2img/Prompt/value": "",
    "txt2img/Seed/value": 42,
    "txt2img/Sampling steps/value": 12,
    "txt2img/Width/value": 512,
    "txt2img/Height/value": 512,
}


def load(file: Path) -> dict[str, Any]:
    """The values in force; the file is written where it is missing. A broken file is left alone and ignored."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_text(file, json.dumps(DEFAULTS, indent=4))
        return dict(DEFAULTS)
    except ValueError:
        return dict(DEFAULTS)
    known = saved if isinstance(saved, dict) else {}
    return {key: known[key] if type(known.get(key)) is type(default) else default for key, default in DEFAULTS.items()}
