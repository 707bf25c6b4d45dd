"""Prompt styles in styles.csv: columns name, prompt, negative_prompt. "{prompt}" stands for the user's text."""

from __future__ import annotations

import csv
from pathlib import Path

from modules.paths import write_text

SHIPPED = (
    ("Ink", "ink on paper, {prompt}, monochrome", ""),
    ("Neon", "{prompt}, neon, night, rain", ""),
)


def load_styles(file: Path) -> dict[str, str]:
    """Style name -> prompt pattern; the file is written with two examples where it is missing."""
    if not file.exists():
        rows = [("name", "prompt", "negative_prompt"), *SHIPPED]
        write_text(file, "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return {row["name"]: row.get("prompt") or "" for row in csv.DictReader(lines) if row.get("name")}


def apply_style(pattern: str, prompt: str) -> str:
    """Put the prompt into the pattern, or after it where the pattern has no place for it."""
    if "{prompt}" in pattern:
        return pattern.replace("{prompt}", prompt)
    return ", ".join(part for part in (prompt, pattern) if part)
