"""``debtool doctor``."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import as_file, files

import click


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def doctor(arguments: tuple[str, ...]) -> None:
    """Diagnose this machine: CPU level, environment, GPU, Python stack.

    It is the program that packages ship as PREFIX-doctor; its own --help tells its options.

    \b
    Examples:
      debtool doctor
      debtool doctor --json
      debtool doctor --list
    """
    with as_file(files("debtool").joinpath("host", "doctor.py")) as program:
        done = subprocess.run([sys.executable, "-I", str(program), *arguments], check=False)
    raise click.exceptions.Exit(done.returncode)
