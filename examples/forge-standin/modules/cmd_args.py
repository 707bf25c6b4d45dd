"""The command line: Forge's flags, as far as they mean something here, with Forge's spellings and defaults."""

from __future__ import annotations

import argparse
from pathlib import Path

from modules.paths import data_path, models_path

# Flags that a unit or a user's COMMANDLINE_ARGS written for Forge may carry. They tune what this application does not have.
NO_EFFECT_HERE = (
    "--skip-version-check", "--skip-python-version-check", "--skip-install", "--skip-google-blockly",
    "--no-download-sd-model", "--do-not-download-clip", "--no-half", "--no-half-vae", "--no-hashing",
    "--disable-all-extensions", "--disable-extra-extensions", "--all-in-fp32", "--all-in-fp16", "--vae-in-fp32",
    "--vae-in-cpu", "--attention-quad", "--attention-split", "--attention-pytorch", "--always-low-vram",
    "--always-no-vram", "--always-offload-from-vram", "--cuda-malloc", "--cuda-stream", "--pin-shared-memory",
    "--disable-gpu-warning", "--disable-xformers",
)


def build_parser() -> argparse.ArgumentParser:
    """The parser; an unknown flag ends the program with status 2, as in Forge."""
    parser = argparse.ArgumentParser(prog="launch.py", allow_abbrev=False)
    flag = lambda name, text: parser.add_argument(name, action="store_true", help=text)  # noqa: E731
    flag("--skip-prepare-environment", "start at once: check nothing")
    flag("--skip-torch-cuda-test", "do not demand a GPU while preparing the environment")
    flag("--always-cpu", "compute on the CPU even where a GPU is")
    flag("--exit", "end after the environment was prepared")
    flag("--listen", "bind every address instead of loopback")
    flag("--api", "serve /sdapi/v1 beside the page")
    flag("--nowebui", "serve /sdapi/v1 alone, on port 7861 by default")
    flag("--api-server-stop", "let the API stop and restart the server")
    flag("--no-prompt-history", "do not write params.txt")
    for name in NO_EFFECT_HERE:
        parser.add_argument(name, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--server-name", default=None, help="address to bind")
    parser.add_argument("--port", type=int, default=None, help="port to bind (default: the first free one from 7860)")
    parser.add_argument("--subpath", default=None, help="path prefix behind a reverse proxy")
    parser.add_argument("--data-dir", type=Path, default=data_path, help="where all user data lives")
    parser.add_argument("--models-dir", type=Path, default=models_path, help="where models live")
    parser.add_argument("--ui-settings-file", type=Path, default=data_path / "config.json", help="settings")
    parser.add_argument("--ui-config-file", type=Path, default=data_path / "ui-config.json", help="default field values")
    parser.add_argument("--styles-file", type=Path, default=data_path / "styles.csv", help="prompt styles")
    return parser


def parse_arguments() -> argparse.Namespace:
    """Parse sys.argv, to which modules.paths has appended COMMANDLINE_ARGS."""
    return build_parser().parse_args()
