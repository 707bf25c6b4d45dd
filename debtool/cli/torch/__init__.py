"""``debtool torch``: PyTorch for a CPU without AVX, from its source."""

from __future__ import annotations

import click

from debtool.cli.lazy import LazyGroup


class _Torch(LazyGroup):
    package = "debtool.cli.torch"
    table = {  # noqa: RUF012 -- a ClassVar of the base class
        "build": ("build", "Build PyTorch, and what is compiled against it."),
        "status": ("status", "Say where a build is."),
        "watch": ("watch", "Follow a build, from any terminal."),
        "settings": ("settings", "Show what is set for a build, and why."),
    }


@click.command(cls=_Torch)
def torch() -> None:
    """Build PyTorch for a CPU without AVX.

    \b
    Examples:
      debtool torch settings --explain
      debtool torch build --target noble-rocm6.3
      debtool torch watch
    """
