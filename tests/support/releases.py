"""Real releases from the package index that pip is configured with, kept between runs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def gradio_client_wheel(cache: Path, version: str) -> Path:
    """Return the wheel of a release of gradio_client, through pip's own configuration."""
    wheel = cache / "gradio-client" / f"gradio_client-{version}-py3-none-any.whl"
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheel.parent)]
        subprocess.run([*command, f"gradio_client=={version}"], check=True, capture_output=True)
    return wheel
