"""Stand-ins for programs: small shell scripts that need nothing but the shell's own commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GCC = """\
case "$*" in
--version) echo 'c++ (Ubuntu 13.2.0-23ubuntu4) 13.2.0'; echo 'Copyright (C) 2023 Free Software Foundation, Inc.' ;;
*-dumpfullversion*) echo 13.2.0 ;;
*) : > probe ;;
esac"""
"""A gcc as noble's says its version, and which leaves a program of whatever it is to compile."""


def make_tool(folder: Path, name: str, script: str) -> Path:
    """Write the shell ``script`` as the program ``name`` in ``folder``; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return tool


def says(version: str) -> str:
    """Return the script of a program that says ``version`` whatever it is asked."""
    return f"echo '{version}'"
