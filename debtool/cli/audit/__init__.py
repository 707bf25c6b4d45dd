"""``debtool audit``: what is in binaries, before a machine meets it."""

from __future__ import annotations

import click

from debtool.cli.lazy import LazyGroup


class _Audit(LazyGroup):
    package = "debtool.cli.audit"
    table = {  # noqa: RUF012 -- a ClassVar of the base class
        "isa": ("isa", "Find instructions that a CPU lacks."),
        "run": ("run", "Run wheels on an emulated CPU."),
        "env": ("env", "Find environment variables that force instructions."),
        "gpu": ("gpu", "Show which AMD GPUs there is device code for."),
    }


@click.command(cls=_Audit)
def audit() -> None:
    """Look into binaries, before a machine does.

    \b
    Examples:
      debtool audit isa torch-*.whl --cpu westmere
      debtool audit run torch-*.whl --with wheelhouse/ --cpu westmere
      debtool audit env
      debtool audit gpu torch-*.whl --for gfx1030
    """
