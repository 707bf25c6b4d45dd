"""What happens before the application starts. Nothing here installs: packages come from the system's package manager."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys

from modules.paths import script_path, tmp_path

REQUIRED = ("gradio", "fastapi", "numpy", "PIL", "torch")


def prepare_environment(args: argparse.Namespace) -> None:
    """Check that the interpreter, the libraries and the GPU are what the application needs.

    Raises SystemExit naming every missing library; RuntimeError where no GPU answers and neither
    --skip-torch-cuda-test nor --always-cpu was given.
    """
    (tmp_path / "restart").unlink(missing_ok=True)
    print(f"Python {sys.version}", flush=True)
    print(f"Tree: {script_path}", flush=True)
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"Not importable: {', '.join(missing)}. Install what requirements.txt names; nothing is installed from here.")
    if not (args.skip_torch_cuda_test or args.always_cpu) and not _gpu_answers():
        raise RuntimeError(
            "torch sees no GPU. Pass --always-cpu to compute on the CPU, or --skip-torch-cuda-test to skip this check."
        )


def _gpu_answers() -> bool:
    # In a process of its own: a GPU library that ends by a signal must not take the launcher with it.
    probe = subprocess.run([sys.executable, "-c", "import torch; assert torch.cuda.is_available()"],
                           stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return probe.returncode == 0


def start(args: argparse.Namespace) -> None:
    """Import the web application (this is what takes long) and run it."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    print(f"Launching {'API server' if args.nowebui else 'Web UI'} with arguments: {' '.join(sys.argv[1:])}", flush=True)
    import webui

    webui.run(args)
