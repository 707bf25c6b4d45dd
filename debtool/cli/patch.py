"""``debtool patch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from debtool.cli.context import emit_json, json_option, pass_settings

if TYPE_CHECKING:
    from packaging.version import Version

    from debtool.cli.context import Settings
    from debtool.stack.patch_trial import Trial


@click.group()
def patch() -> None:
    """Patches of Python distributions, as packages that apply themselves again.

    \b
    Examples:
      debtool patch list
      debtool patch new six-moves --distribution six --file six/moves.py --function add_move
      debtool patch test repo/patches/gradio.toml
    """


@patch.command()
@click.argument("name")
@click.option("--distribution", metavar="D", required=True, help="The distribution that is patched.")
@click.option("--file", "file", metavar="F", required=True, help="The patched file, below site-packages.")
@click.option("--function", metavar="f", required=True, help="The function that a guard is put into; outer.inner.")
@click.option("--dry-run", is_flag=True, help="Print the file instead of writing it.")
@json_option
@pass_settings
def new(
    settings: Settings, name: str, distribution: str, file: str, function: str, dry_run: bool, as_json: bool
) -> None:
    """Write patches/NAME.toml beside the stack's file, with one edit and one check, ready to be filled in.

    It is a valid patch that mends nothing: until each FILL-IN in it is replaced, its test and every release of it fail.

    \b
    Examples:
      debtool patch new gradio-schemas --distribution gradio-client --file gradio_client/utils.py --function get_type
      debtool patch new demo --distribution demo --file demo/a.py --function outer.inner --dry-run
    """
    from debtool.stack.new_patch import new_patch

    made = new_patch(settings.project, name, distribution=distribution, file=file, function=function)
    if not dry_run:
        made.write()
    if as_json:
        emit_json("patch-new", {"file": str(made.file), "written": not dry_run, "text": made.text, "table": made.table})
        return
    if dry_run:
        click.echo(f"would write {made.file}:\n\n{made.text}", nl=False)
        return
    click.echo(f"wrote {made.file}")
    click.echo(f"\nFill it in, then:\n  debtool patch test {made.file}\nand add to {settings.project.file}:\n")
    click.echo(made.table, nl=False)


@patch.command("list")
@json_option
@pass_settings
def list_(settings: Settings, as_json: bool) -> None:
    """Show the stack's patch packages and what each touches.

    \b
    Examples:
      debtool patch list
      debtool --config mystack/stack.toml patch list --json
    """
    from debtool.cli.output import print_table
    from debtool.model.patch import unfilled
    from debtool.stack.patches import stack_patches

    stack = settings.project.stack
    rows = [
        {
            "package": stack.full_name(one.package.name),
            "patch": str(one.file),
            "distribution": one.patch.distribution,
            "affected": one.patch.affected,
            "file": one.patch.file,
            "functions": list(dict.fromkeys(edit.function for edit in one.patch.edits)),
            "level": one.patch.shipped_level,
            "checks": len(one.patch.checks),
            "keeps": len(one.patch.keeps),
            "defect": one.patch.defect,
            "unfilled": unfilled(one.patch),
        }
        for one in stack_patches(settings.project)
    ]
    if as_json:
        emit_json("patch-list", {"patches": rows})
        return
    if not rows:
        click.echo("the stack has no patch; make one with: debtool patch new")
        return
    columns = ("package", "distribution", "affected", "file", "functions", "level")
    cells = [[", ".join(cell) if isinstance(cell := row[key], list) else cell for key in columns] for row in rows]
    print_table(columns, cells)
    for row in rows:
        if row["unfilled"]:
            click.echo(f"{row['patch']} is not filled in yet", err=True)


@patch.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--wheel",
    "wheels",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A wheel to try it on; may be given several times.",
)
@click.option(
    "--versions",
    metavar="V,V|all",
    help="Versions to fetch and try it on.  [default: both sides of each end of the affected range, and the newest]",
)
@json_option
@pass_settings
def test(settings: Settings, file: Path, wheels: tuple[Path, ...], versions: str | None, as_json: bool) -> None:
    """Try the patch of FILE on wheels: is each affected one mended, and no other one touched?

    Wheels are fetched as pip is configured. Each is laid out as if installed, and the program that the package ships
    runs on it. Told are: whether the version is affected, whether every place of an edit is there, whether the file was
    changed, and how many checks fail before and after. Exit code 1 if one that is affected is not mended, or another
    one is touched.

    \b
    Examples:
      debtool patch test repo/patches/gradio.toml
      debtool patch test repo/patches/gradio.toml --versions 1.2.0,1.3.0
      debtool patch test repo/patches/gradio.toml --versions all --json
    """
    from debtool.cli.output import ProgressWatcher
    from debtool.model.patch import parse_patch
    from debtool.stack.patch_trial import trial_wheels, try_patch
    from debtool.stack.patches import refuse_unfilled
    from debtool.stack.project import read_definition

    if wheels and versions:
        raise click.UsageError("--wheel and --versions are two ways to say the same; give one")
    definition = parse_patch(read_definition(file, "make it readable"), file)
    refuse_unfilled(definition, file)
    with ProgressWatcher() as watcher:
        chosen = list(wheels)
        if not chosen:
            chosen = trial_wheels(definition, _versions(versions, definition.distribution), settings.cache, watcher)
        trials = try_patch(definition, chosen, watcher)
    if as_json:
        emit_json("patch-test", {"patch": str(file), "trials": [_data(trial) for trial in trials]})
    else:
        _print(trials)
    if any(trial.problems for trial in trials):
        raise SystemExit(1)


def _versions(text: str | None, distribution: str) -> list[Version] | None:
    from packaging.version import InvalidVersion, Version

    from debtool.wheel.offers import offered_versions

    if text is None:
        return None
    if text == "all":
        return offered_versions(distribution)
    try:
        return [Version(part.strip()) for part in text.split(",")]
    except InvalidVersion as error:
        raise click.BadParameter(f"{error} (PEP 440)", param_hint="--versions") from None


def _data(trial: Trial) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(trial), "version": str(trial.version)}


def _print(trials: list[Trial]) -> None:
    from debtool.cli.output import print_table

    print_table(
        ["version", "affected", "located", "patched", "before", "after", "verdict"],
        [
            (
                trial.version,
                _word(trial.affected),
                _word(trial.located),
                _word(trial.changed),
                _wrong(trial.before),
                _wrong(trial.after),
                "FAILS" if trial.problems else "good",
            )
            for trial in trials
        ],
    )
    for trial in trials:
        for problem in trial.problems:
            click.echo(f"{trial.version}: {problem}", err=True)
        for note in trial.notes:
            click.echo(f"note: {trial.version}: {note}")


def _word(said: bool) -> str:
    return "yes" if said else "no"


def _wrong(checks: tuple[str, ...] | None) -> str:
    if checks is None:
        return "unknown"
    return f"{len(checks)} wrong" if checks else "right"
