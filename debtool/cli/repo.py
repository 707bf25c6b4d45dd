"""``debtool repo``: the apt archive."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from debtool.cli.context import archive_option, emit_json, json_option, pass_settings, target_option
from debtool.model.text import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from debtool.archive.archive import Archive
    from debtool.archive.values import Publication
    from debtool.cli.context import Settings


def suite_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what names a suite: the target and the channel."""
    command = click.option("--channel", "-C", metavar="C", help="The channel.  [default: the archive's last]")(command)
    return target_option(command)


def _open(settings: Settings, directory: Path | None) -> Archive:
    from debtool.archive.archive import Archive

    return Archive.open(settings.archive_directory(directory))


def _suite(settings: Settings, target_name: str | None, channel: str | None) -> str:
    return f"{settings.target(target_name).name}-{settings.channel(channel)}"


@click.group()
def repo() -> None:
    """Make, fill, publish, check and serve the apt archive.

    \b
    Examples:
      debtool repo init
      debtool repo publish debs/*.deb --target bookworm --channel stable
      debtool repo history --target bookworm
      debtool repo fsck
      debtool repo serve --port 8808
    """


@repo.command()
@archive_option
@click.option("--url", help="Where machines will reach it.")
@json_option
@pass_settings
def init(settings: Settings, directory: Path | None, url: str | None, as_json: bool) -> None:
    """Make an archive with a signing key of its own; an existing one stays as it is.

    The key is kept beside the public folder, in a folder of the same name with -private added: make a backup of it.

    \b
    Examples:
      debtool repo init
      debtool repo init --archive /srv/apt --url http://apt.example.net/
    """
    from debtool.archive.archive import Archive
    from debtool.stack.release import archive_config

    public = settings.archive_directory(directory)
    archive = Archive.init(public, archive_config(settings.project.archive_definition(), url))
    if as_json:
        emit_json("archive", {"public": public, "fingerprint": archive.key.fingerprint})
        return
    click.echo(f"archive: {archive.public}")
    click.echo(f"key:     {archive.key.fingerprint}")


@repo.command()
@click.argument("debs", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@archive_option
@json_option
@pass_settings
def add(settings: Settings, debs: tuple[Path, ...], directory: Path | None, as_json: bool) -> None:
    """Put DEBS into the pool without publishing them.

    \b
    Examples:
      debtool repo add debs/*.deb
    """
    packages = _open(settings, directory).add(debs)
    if as_json:
        emit_json("added", {"packages": [asdict(package) for package in packages]})
        return
    for package in packages:
        click.echo(f"{package}: {package.filename}")


@repo.command()
@click.argument("debs", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@suite_options
@archive_option
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
@json_option
@pass_settings
def publish(
    settings: Settings,
    debs: tuple[Path, ...],
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish DEBS to a channel in one step; its other packages stay.

    \b
    Examples:
      debtool repo publish debs/*.deb --target bookworm --channel canary
      debtool repo publish debs/*.deb --target bookworm --dry-run
    """
    suite = _suite(settings, target_name, channel)
    archive = _open(settings, directory)
    if dry_run:
        _print_dry_run(archive, suite, debs, as_json=as_json)
        return
    _print_publication(archive.publish(suite, debs), as_json=as_json)


def _print_dry_run(archive: Archive, suite: str, debs: tuple[Path, ...], *, as_json: bool) -> None:
    from debtool.deb.reader import read_control

    current = {package.name: package.version for package in archive.published(suite)}
    new = [(str(control["Package"]), str(control["Version"])) for control in map(read_control, debs)]
    changes = [
        {"package": name, "published": current.get(name), "version": version}
        for name, version in new
        if current.get(name) != version
    ]
    if as_json:
        emit_json("publication-plan", {"suite": suite, "changes": changes})
        return
    for change in changes:
        click.echo(f"{change['package']}: {change['published'] or 'not published'} -> {change['version']}")
    click.echo(f"{suite}: {len(changes)} of {len(new)} packages would change; nothing was written")


def _print_publication(publication: Publication, *, as_json: bool) -> None:
    if as_json:
        emit_json("publication", asdict(publication))
        return
    if not publication.switched:
        click.echo(f"{publication.suite}: nothing changed, nothing written (generation {publication.generation})")
        return
    click.echo(
        f"{publication.suite}: generation {publication.generation}, {len(publication.added)} added, "
        f"{len(publication.removed)} removed, {publication.unchanged} unchanged, "
        f"{human_bytes(publication.bytes_written)} written"
    )


@repo.command()
@suite_options
@archive_option
@json_option
@pass_settings
def refresh(
    settings: Settings,
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Write a channel anew with the same packages: a later date, a new signature, sound indexes.

    \b
    Examples:
      debtool repo refresh --target bookworm --channel stable
    """
    _print_publication(_open(settings, directory).refresh(_suite(settings, target_name, channel)), as_json=as_json)


@repo.command()
@click.argument("names", nargs=-1, required=True)
@suite_options
@archive_option
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
@json_option
@pass_settings
def remove(
    settings: Settings,
    names: tuple[str, ...],
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish a channel without the packages NAMES; the pool keeps them.

    \b
    Examples:
      debtool repo remove cheesegrater-doctor --target bookworm --channel stable
    """
    suite = _suite(settings, target_name, channel)
    archive = _open(settings, directory)
    if dry_run:
        going = [package for package in archive.published(suite) if package.name in names]
        if as_json:
            emit_json("publication-plan", {"suite": suite, "removed": [asdict(package) for package in going]})
            return
        for package in going:
            click.echo(f"would remove {package}")
        return
    _print_publication(archive.remove(suite, names), as_json=as_json)


@repo.command("list")
@suite_options
@archive_option
@json_option
@pass_settings
def list_(
    settings: Settings,
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """List what a channel has.

    \b
    Examples:
      debtool repo list --target bookworm
    """
    from debtool.cli.output import print_table

    packages = _open(settings, directory).published(_suite(settings, target_name, channel))
    if as_json:
        emit_json("packages", {"packages": [asdict(package) for package in packages]})
        return
    print_table(
        ["package", "version", "arch", "#size"],
        [(p.name, p.version, p.architecture, human_bytes(p.size)) for p in packages],
    )


@repo.command()
@suite_options
@archive_option
@json_option
@pass_settings
def history(
    settings: Settings,
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Show the generations of a channel, newest first.

    \b
    Examples:
      debtool repo history --target bookworm --channel stable
    """
    from debtool.cli.output import print_table

    generations = _open(settings, directory).history(_suite(settings, target_name, channel))
    if as_json:
        emit_json("history", {"generations": [asdict(generation) for generation in generations]})
        return
    print_table(
        ["#generation", "date", "#packages", "#added", "#removed"],
        [(g.number, f"{g.date:%Y-%m-%d %H:%M:%S}", g.packages, len(g.added), len(g.removed)) for g in generations],
    )


@repo.command()
@archive_option
@json_option
@pass_settings
def fsck(settings: Settings, directory: Path | None, as_json: bool) -> None:
    """Check every suite: signatures, and the hash of every index and package. Exits 1 on findings.

    \b
    Examples:
      debtool repo fsck
    """
    archive = _open(settings, directory)
    findings = {suite: archive.check(suite) for suite in archive.suites()}
    if as_json:
        emit_json(
            "fsck", {"suites": {suite: [asdict(issue) for issue in issues] for suite, issues in findings.items()}}
        )
    else:
        for suite, issues in findings.items():
            click.echo(f"{suite}: {'sound' if not issues else f'{len(issues)} findings'}")
            for issue in issues:
                click.echo(f"  {issue}")
    if any(findings.values()):
        raise click.exceptions.Exit(1)


@repo.command()
@archive_option
@click.option("--address", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8808, show_default=True, help="The port; 0 takes any free one.")
@pass_settings
def serve(settings: Settings, directory: Path | None, address: str, port: int) -> None:
    """Serve the archive over HTTP until Ctrl-C. For a bench; docs/serving.md tells how to do it for real.

    \b
    Examples:
      debtool repo serve
      debtool repo serve --address 0.0.0.0 --port 80
    """
    import threading

    from debtool.archive.serve import Server

    archive = _open(settings, directory)
    with Server(archive.public, address=address, port=port) as server:
        click.echo(f"serving {archive.public} at {server.url} (Ctrl-C ends it)")
        threading.Event().wait()


@repo.command()
@archive_option
@click.option("--armor", is_flag=True, help="Print the key itself.")
@json_option
@pass_settings
def key(settings: Settings, directory: Path | None, armor: bool, as_json: bool) -> None:
    """Print the archive key's fingerprint, or the key.

    \b
    Examples:
      debtool repo key
      debtool repo key --armor > archive-key.asc
    """
    archive = _open(settings, directory)
    if as_json:
        emit_json("key", {"fingerprint": archive.key.fingerprint, "public": archive.key.public_armored.decode()})
    else:
        click.echo(archive.key.public_armored.decode() if armor else archive.key.fingerprint)


@repo.command("client-config")
@suite_options
@archive_option
@click.option("--url", help="Where machines reach the archive.  [default: what it was made with]")
@json_option
@pass_settings
def client_config(
    settings: Settings,
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Print the lines that a user pastes on a machine to follow a channel.

    \b
    Examples:
      debtool repo client-config --target bookworm --url http://192.0.2.1:8808/
    """
    from debtool.stack.onboarding import onboarding_lines

    target = settings.target(target_name)
    suite = f"{target.name}-{settings.channel(channel)}"
    lines = onboarding_lines(settings.project.stack, target, _open(settings, directory), suite, url)
    if as_json:
        emit_json("client-config", {"suite": suite, "lines": lines})
    else:
        click.echo("\n".join(lines))
