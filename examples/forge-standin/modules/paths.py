"""Where the application reads and writes. Safe to import before any dependency is installed.

Two roots, as in Forge: `script_path`, the tree itself, which may be read-only, and `data_path` (--data-dir),
everything that belongs to the user. Two folders stay under `script_path`: `config_states` and `tmp`. A package that
ships the tree read-only replaces them by symlinks to the state directory.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

sys.argv += shlex.split(os.environ.get("COMMANDLINE_ARGS", ""))

script_path = Path(__file__).resolve().parent.parent

_roots = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
_roots.add_argument("--data-dir", type=lambda text: Path(text).absolute(), default=script_path)
_roots.add_argument("--models-dir", type=lambda text: Path(text).absolute(), default=None)
_given = _roots.parse_known_args()[0]

data_path: Path = _given.data_dir
models_path: Path = _given.models_dir or data_path / "models"
checkpoints_path = models_path / "Stable-diffusion"
output_path = data_path / "outputs"
cache_path = data_path / "cache"
saved_images_path = data_path / "log" / "images"
params_file = data_path / "params.txt"

config_states_path = script_path / "config_states"
tmp_path = script_path / "tmp"


def create_state_folders() -> None:
    """Make every folder that is written to later.

    Raises OSError where one cannot be made: the sign of a read-only tree without its two symlinks, or of a data
    directory that belongs to someone else.
    """
    for folder in (checkpoints_path, models_path / "VAE", models_path / "ControlNet", output_path, cache_path,
                   saved_images_path, data_path / "embeddings", config_states_path, tmp_path):
        folder.mkdir(parents=True, exist_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that a power cut leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
