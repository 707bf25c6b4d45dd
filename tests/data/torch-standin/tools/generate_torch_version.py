"""What version this is: of setup.py, and of torch/version.py, which the build has this program write."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

UNKNOWN = "Unknown"
ROOT = Path(__file__).resolve().parent.parent


def get_sha() -> str:
    """Return the commit of a git checkout, else ``Unknown``."""
    if not (ROOT / ".git").exists():
        return UNKNOWN
    command = ["git", "rev-parse", "HEAD"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else UNKNOWN


def get_torch_version(sha: str | None = None) -> str:
    """Return the version; of a source without git, setup.py's (``sha`` is None) says ``+gitUnknown``, as PyTorch's."""
    version = (ROOT / "version.txt").read_text().strip()
    wish = os.getenv("PYTORCH_BUILD_VERSION")
    if wish:
        number = int(os.environ["PYTORCH_BUILD_NUMBER"])
        return f"{wish}.post{number}" if number > 1 else wish
    if sha == UNKNOWN:
        return version
    return f"{version}+git{(sha or get_sha())[:7]}"


def main() -> None:
    """Write ``torch/version.py``."""
    parser = argparse.ArgumentParser()
    for name in ("--is-debug", "--cuda-version", "--hip-version", "--xpu-version"):
        parser.add_argument(name, default="")
    given = parser.parse_args()
    sha = get_sha()
    lines = [
        f"__version__ = {get_torch_version(sha)!r}",
        f"debug = {given.is_debug not in {'', '0'}}",
        f"cuda: str | None = {given.cuda_version or None!r}",
        f"git_version = {sha!r}",
        f"hip: str | None = {given.hip_version or None!r}",
        f"xpu: str | None = {given.xpu_version or None!r}",
    ]
    (ROOT / "torch" / "version.py").write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
