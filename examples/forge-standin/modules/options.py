"""Settings in config.json: a flat JSON object, shared with the API."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from modules import paths

DEFAULTS: dict[str, Any] = {
    "samples_save": True,
    "samples_format": "png",
    "enable_pnginfo": True,
    "outdir_txt2img_samples": str(paths.output_path / "txt2img-images"),
    "outdir_save": str(paths.saved_images_path),
    "sd_model_checkpoint": "standin-v1.pt",
}


class Options:
    """The settings in force: defaults, and over them what config.json says."""

    def __init__(self, file: Path, data: dict[str, Any]) -> None:
        self._file = file
        self._data = data

    @classmethod
    def load(cls, file: Path) -> Options:
        """Read the file, and write it where it is missing. A broken one is moved to tmp/config.json, as in Forge."""
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(data, dict):
                raise ValueError("not a JSON object")
        except FileNotFoundError:
            data = {}
        except ValueError as error:
            kept = paths.tmp_path / "config.json"
            kept.write_bytes(file.read_bytes())
            print(f"{file}: {error}. Kept as {kept}; the defaults are in force.", file=sys.stderr, flush=True)
            data = {}
        options = cls(file, {**DEFAULTS, **data})
        options.save()
        return options

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def as_dict(self) -> dict[str, Any]:
        """A copy of every setting."""
        return dict(self._data)

    def update(self, changes: dict[str, Any]) -> None:
        """Change known settings and save; the state before is kept as one file in config_states/.

        Raises KeyError for a setting that does not exist, TypeError for a value of another type than its default's.
        """
        for key, value in changes.items():
            if key not in DEFAULTS:
                raise KeyError(key)
            if type(value) is not type(DEFAULTS[key]):
                raise TypeError(f"{key}: expected {type(DEFAULTS[key]).__name__}, got {type(value).__name__}")
        stamp = time.strftime("%Y_%m_%d-%H_%M_%S", time.gmtime())
        before = {"name": "before a change of settings", "created_at": int(time.time()), "settings": self._data}
        paths.write_text(paths.config_states_path / f"{stamp}_{os.getpid()}.json", json.dumps(before, indent=4))
        self._data.update(changes)
        self.save()

    def save(self) -> None:
        """Write config.json in one step."""
        paths.write_text(self._file, json.dumps(self._data, indent=4))
