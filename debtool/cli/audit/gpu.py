"""``debtool audit gpu``."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from debtool.cli.context import emit_json, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from debtool.elf.gpu import GpuCode


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--for", "gpu", metavar="GFX", help="Exit 1 if a file with device code has none that this GPU runs.")
@click.option("--no-generic", is_flag=True, help="Do not count generic code, which older ROCm cannot load.")
@json_option
def gpu(paths: tuple[Path, ...], gpu: str | None, no_generic: bool, as_json: bool) -> None:
    """Show which AMD GPUs the device code in wheels, packages, folders and files is for.

    Each bundle in a library is one translation unit's code for several GPUs, and every bundle must have the GPU's own:
    a Radeon RX 6600 XT is a gfx1032, and a gfx1030 under HSA_OVERRIDE_GFX_VERSION=10.3.0; neither runs the other's
    code. Of files that are nothing but device code, one in a folder will do.

    \b
    Examples:
      debtool audit gpu torch-*.whl
      debtool audit gpu torch-*.whl --for gfx1030
      debtool audit gpu /opt/rocm/lib --for gfx1030 --no-generic --json
    """
    from debtool.cli.audit.shared import refuse_absent
    from debtool.cli.output import out, print_table

    refuse_absent(paths)
    found = [one for path in paths for one in _device_code(path)]
    findings = _findings(found, gpu, generic=not no_generic) if gpu else []
    if as_json:
        files = [
            {
                "file": one.file,
                "bundles": one.code.bundles,
                "objects": one.code.objects,
                "unread": one.code.unread,
                "targets": one.code.targets,
            }
            for one in found
        ]
        emit_json("audit-gpu", {"for": gpu, "files": files, "findings": findings})
    elif found:
        print_table(
            ["file", "#bundles", "GPUs"],
            [(one.file, len(one.code.bundles), " ".join([*one.code.targets, *one.code.unread])) for one in found],
        )
        for finding in findings:
            out.print(finding, markup=False)
    else:
        click.echo("no device code")
    if findings:
        raise click.exceptions.Exit(1)


class _Found(NamedTuple):
    file: str
    code: GpuCode


def _findings(found: Sequence[_Found], gpu: str, *, generic: bool) -> list[str]:
    """Return what is wrong for ``gpu``, each with the file or folder and the reason."""
    findings = [f"{one.file}: cannot be judged: {reason}" for one in found for reason in one.code.unread]
    folders: dict[str, list[_Found]] = {}
    for one in found:
        missing = one.code.missing(gpu, generic=generic)
        if one.code.alone:
            folders.setdefault(one.file.rpartition("/")[0], []).append(one)
        elif missing:
            findings.append(
                f"{one.file}: {missing} of {len(one.code.bundles)} bundles have no code that {gpu} runs; "
                f"there is code for {', '.join(one.code.targets)}"
            )
    for folder, each in folders.items():
        if all(one.code.missing(gpu, generic=generic) for one in each):
            targets = sorted({target for one in each for target in one.code.targets})
            findings.append(f"{folder}: no code object that {gpu} runs; there are some for {', '.join(targets)}")
    return findings


def _device_code(path: Path) -> Iterator[_Found]:
    """Yield the files at ``path`` that have device code; files in wheels and packages as ``WHEEL:FILE``."""
    if path.is_dir():
        for folder, folders, names in os.walk(path):
            folders.sort()
            for file in (Path(folder, name) for name in sorted(names)):
                if file.is_file() and not file.is_symlink():
                    yield from _device_code(file)
    elif path.suffix == ".whl":
        yield from _in_wheel(path)
    elif path.suffix == ".deb":
        yield from _in_package(path)
    else:
        from debtool.elf.gpu import read_gpu_targets

        with path.open("rb") as stream:
            code = read_gpu_targets(partial(_from_start, stream), path.stat().st_size)
        if code is not None:
            yield _Found(str(path), code)


def _in_wheel(path: Path) -> Iterator[_Found]:
    from debtool.elf.gpu import read_gpu_targets
    from debtool.wheel.source import open_wheel

    with open_wheel(path) as wheel:
        for name, size in wheel.sizes.items():
            code = read_gpu_targets(partial(wheel.open, name), size)
            if code is not None:
                yield _Found(f"{path}:{name}", code)


def _in_package(path: Path) -> Iterator[_Found]:
    from debtool.deb.reader import iter_data
    from debtool.elf.gpu import read_gpu_targets

    for entry, stream in iter_data(path):
        if stream is None:
            continue
        # A package's data passes once, and a library is read from several places.
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            code = read_gpu_targets(partial(_from_start, copy), entry.size)
        if code is not None:
            yield _Found(f"{path}:{entry.path}", code)


def _from_start(stream: IO[bytes]) -> IO[bytes]:
    stream.seek(0)
    return stream
