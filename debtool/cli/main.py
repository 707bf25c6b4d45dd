"""The program: finds the command, and turns errors into one clear message and an exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from debtool import __version__
from debtool.cli.context import Settings
from debtool.cli.lazy import LazyGroup


class _Commands(LazyGroup):
    package = "debtool.cli"
    table = {  # noqa: RUF012 -- declared a ClassVar by the base class
        "init": ("init", "Make a new stack of your own, ready to edit."),
        "target": ("target", "Show the systems that packages can be made for."),
        "lock": ("lock", "Resolve a stack's requirements into a hashed lock."),
        "plan": ("release", "Show what a release would build, and why."),
        "build": ("release", "Build the packages of a release without publishing."),
        "release": ("release", "Build what changed and publish it to a channel."),
        "prove": ("prove", "Install a release in a throwaway root and see it answer."),
        "lint": ("lint", "Check packages with lintian, against Debian Policy."),
        "why": ("why", "Say why a package depends on another."),
        "audit": ("audit", "Look into binaries: CPU instructions, GPU code."),
        "torch": ("torch", "Build PyTorch for a CPU without AVX."),
        "wheel": ("wheel", "Turn single wheels into packages."),
        "patch": ("patch", "Patches that apply themselves again: make, list, try."),
        "repo": ("repo", "The apt archive: make, fill, publish, check, serve."),
        "doctor": ("doctor", "Diagnose this machine."),
        "completion": ("completion", "Print shell completion for bash, zsh or fish."),
    }


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="DEBTOOL_CONFIG",
    help="The stack file.  [default: ./stack.toml, else ./repo/cheesegrater.toml, else the one that debtool brings]",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DEBTOOL_CACHE",
    help="Where wheels, trees and built packages are kept.  [default: $XDG_CACHE_HOME/debtool]",
)
@click.version_option(__version__, prog_name="debtool")
@click.pass_context
def debtool(ctx: click.Context, config: Path | None, cache: Path | None) -> None:
    """Turn Python wheels and an application into Debian packages in a signed apt archive.

    A stack file says what a release is made of, a target file for which system. From both, `debtool release` builds
    what changed and publishes it, so that machines get it with apt.

    \b
    Examples:
      debtool init mystack                     a new stack, ready to edit
      debtool plan --target bookworm           what would be built, and why
      debtool release --target bookworm        build and publish it
      debtool wheel deb numpy-*.whl --target bookworm --out debs
      debtool repo serve                       try the archive from this machine

    Exit codes: 0 done, 1 findings, 2 usage or bad input, 3 an outside tool or service failed.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    ctx.obj = Settings.from_options(config, cache, os.environ)


def run() -> None:
    """Run the program; the entry point of the ``debtool`` script."""
    from debtool.model.errors import DebtoolError

    try:
        # Outside click's standalone mode, a command's Exit comes back as its exit code.
        sys.exit(debtool.main(prog_name="debtool", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("debtool: interrupted; nothing was published", err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        click.echo("debtool: interrupted; nothing was published", err=True)
        sys.exit(130)
    except DebtoolError as error:
        for issue in error.issues:
            click.echo(f"debtool: {issue}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    run()
