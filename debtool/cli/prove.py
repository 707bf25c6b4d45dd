"""``debtool prove``."""

from __future__ import annotations

import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from debtool.cli.context import archive_option, emit_json, json_option, pass_settings, target_option
from debtool.model.text import human_bytes

if TYPE_CHECKING:
    from debtool.archive.archive import Archive
    from debtool.cli.context import Settings
    from debtool.model.target import Target
    from debtool.stack.prove import Proof, Step

_PORT = 8808


@click.command()
@target_option
@click.option("--channel", "-C", metavar="C", help="The channel that is tried.  [default: the archive's last]")
@archive_option
@click.option("--port", default=0, help="Serve the archive on this port meanwhile.  [default: any free one]")
@click.option("--path", "paths", multiple=True, default=("/", "/info"), show_default=True, help="Must answer 200.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Keep the service's output there.")
@json_option
@pass_settings
def prove(
    settings: Settings,
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    port: int,
    paths: tuple[str, ...],
    log: Path | None,
    as_json: bool,
) -> None:
    """Install a published release in a throwaway root the way a user would, and see it answer.

    The root is a minimal system of the target's release with nothing of ours in it. What is tried: apt refuses the
    archive without its key; the pasted lines add it; apt installs the application; its service's command answers over
    HTTP; dpkg and pip find everything in order; removing and purging it leaves nothing behind. Needs root.

    \b
    Examples:
      sudo debtool prove --target bookworm
      sudo debtool --config repo/demo.toml prove --port 8808
      sudo debtool prove --target noble --path / --path /sdapi/v1/options
    """
    from debtool.archive.archive import Archive
    from debtool.archive.serve import Server
    from debtool.build.image import RootImage
    from debtool.stack.onboarding import claim_for, onboarding_lines
    from debtool.stack.prove import prove as run

    target = settings.target(target_name)
    archive = Archive.open(settings.archive_directory(directory))
    suite = f"{target.name}-{settings.channel(channel)}"
    stack = settings.project.stack
    began = time.monotonic()
    if not as_json:
        click.echo(f"making a {target.codename} root with nothing of ours in it")
    image = RootImage.ensure(target.codename, settings.cache / "roots")
    with Server(archive.public, port=port) as server:
        claim = claim_for(stack, target, archive, suite, server.url, paths)
        proof = run(claim, image, log or settings.cache / "prove.log", watch=lambda step: _print_step(step, as_json))
    seconds = time.monotonic() - began
    lines = onboarding_lines(stack, target, archive, suite, f"http://{_address()}:{_PORT}/")
    if as_json:
        emit_json(
            "proof",
            {"suite": suite, "ok": proof.ok, "seconds": round(seconds, 1), **asdict(proof), "client_lines": lines},
        )
    else:
        _print_summary(proof, archive, suite, target, seconds, lines)
    if not proof.ok:
        raise click.exceptions.Exit(1)


def _print_step(step: Step, as_json: bool) -> None:
    if not as_json:
        mark = click.style("ok  ", fg="green") if step.ok else click.style("FAIL", fg="red")
        click.echo(f"{mark} {step.seconds:6.1f} s  {step.name}" + (f": {step.detail}" if step.detail else ""))


def _print_summary(
    proof: Proof, archive: Archive, suite: str, target: Target, seconds: float, lines: list[str]
) -> None:
    click.echo()
    if sizes := proof.sizes:
        click.echo(
            f"{sizes.packages} packages of ours and {sizes.distribution_packages} of {target.title}: "
            f"{human_bytes(sizes.downloaded)} fetched, {human_bytes(sizes.installed)} installed"
        )
    if not proof.ok:
        click.echo(f"{suite}: not proved, after {seconds:.1f} s")
        return
    click.echo(f"{suite}: proved in {seconds:.1f} s")
    click.echo("\nTo follow it on another machine, serve the archive from here:")
    click.echo(f"  debtool repo serve --archive {archive.public} --address 0.0.0.0 --port {_PORT}")
    click.echo("and paste there, as root:\n")
    for line in lines:
        # Not indented: a here-document's lines must stand as they are.
        click.echo(line)


def _address() -> str:
    """Return the address under which other machines most likely reach this one; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737; a datagram socket's connect only chooses a route
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
