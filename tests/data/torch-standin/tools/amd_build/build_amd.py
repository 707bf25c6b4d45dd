"""Rewrites what is written for CUDA for ROCm, in this tree; like PyTorch's, it is meant to be run once.

Sources in c10 and aten are rewritten into ``hip`` folders beside them, those in torch where they are. Run again, it
leaves the former alone and rewrites the latter once more: a name that contains what it replaces grows at each run.
"""

# ruff: noqa: T201
# It is a program of its own, and tells what it does.

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
_ENDINGS = frozenset({".cu", ".cuh", ".c", ".cc", ".cpp", ".h", ".hpp", ".in"})
_BESIDE = ("c10/cuda", "aten/src/ATen/cuda", "aten/src/ATen/native/cuda")
_IN_PLACE = ("torch/csrc",)
_MARKED = frozenset({".cu", ".cuh", ".c", ".cc", ".cpp", ".h", ".hpp"})
_MARK = "// Rewritten for ROCm from the file for CUDA.\n"
# Whatever is left of it: the first replacement is what a second run does again.
_WORDS = (
    ("driver_types.h", "hip/driver_types.h"),
    ("cuda_runtime_api.h", "hip/hip_runtime_api.h"),
    ("CUDA", "HIP"),
    ("cuda", "hip"),
)


def rewritten(text: str) -> str:
    """Return ``text`` for ROCm."""
    for word, instead in _WORDS:
        text = text.replace(word, instead)
    return text


def place_of(file: Path) -> Path:
    """Return where the rewritten ``file`` of a cuda folder goes."""
    name = rewritten(str(file.relative_to(_ROOT)))
    return _ROOT / (name.removesuffix(".cu") + ".hip" if name.endswith(".cu") else name)


def write(place: Path, text: str) -> str:
    """Write ``text`` unless it is there already; return which of both."""
    if place.is_file() and place.read_text() == text:
        return "is as it should be"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return "is written"


def main() -> None:
    """Rewrite the tree that this program is in, wherever it is called."""
    for folder, beside in [*((one, True) for one in _BESIDE), *((one, False) for one in _IN_PLACE)]:
        for file in sorted((_ROOT / folder).rglob("*")):
            if file.suffix not in _ENDINGS or "hip" in file.relative_to(_ROOT).parts:
                continue
            text = rewritten(file.read_text())
            place = place_of(file) if beside else file
            if beside and file.suffix in _MARKED:
                text = _MARK + text
            print(f"{file} -> {place} {write(place, text)}")


if __name__ == "__main__":
    main()
