"""The options that say which PyTorch is meant, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from debtool.cli.context import target_option_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging.version import Version

    from debtool.cli.context import Settings
    from debtool.model.target import Target
    from debtool.torch.settings import Choice, Chosen

_CommandT = TypeVar("_CommandT", bound="Callable[..., Any]")

_OPTIONS = (
    target_option_of("The system that it is for.", "the stack's first that torch is built for"),
    click.option("--version", "version_text", metavar="V", help="PyTorch's version.  [default: the stack's]"),
    click.option(
        "--level",
        type=click.Choice(["dispatch-safe", "free"]),
        default="free",
        show_default=True,
        help="What is promised. free: no code for AVX at all; dispatch-safe: none that runs without asking the CPU.",
    ),
    click.option("--cpu-only", is_flag=True, help="Build without ROCm."),
    click.option(
        "--gpu", "gpus", multiple=True, metavar="GFX", help="A GPU to make code for.  [default: the target's]"
    ),
    click.option("--march", default="westmere", show_default=True, help="The CPU that it is compiled for."),
    click.option("--here", is_flag=True, help="This machine will run the result: --march native is allowed."),
    click.option(
        "--flavour",
        type=click.Choice(["upstream", "debian"]),
        help="Whose source it is: PyTorch's own, or Debian's package.  [default: what the source is]",
    ),
    click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Another value, or another setting."),
)


@dataclass(frozen=True)
class Asked:
    """What the options say; the attributes are called as the options' variables are."""

    target_name: str | None
    version_text: str | None
    level: str
    cpu_only: bool
    gpus: tuple[str, ...]
    march: str
    here: bool
    flavour: str | None
    pairs: tuple[str, ...]


def choice_options(command: _CommandT) -> _CommandT:
    """Add the options to a command, which gets them as keywords that `Asked` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def choice_for(settings: Settings, asked: Asked) -> tuple[Target, Choice]:
    """Return the target and the choice.

    Raises:
        UsageError: The stack builds no torch for the target, and no version was given.
        InputError: The version is none.
    """
    from debtool.torch.settings import Choice, Level

    target = _target(settings, asked.target_name)
    rocm = None if asked.cpu_only or target.rocm is None else target.rocm
    gpus = tuple(one for text in asked.gpus for one in text.replace(",", ";").split(";") if one)
    choice = Choice(
        version=_version(settings, target, asked.version_text, rocm.release if rocm else None),
        level=Level(asked.level),
        rocm=rocm.release if rocm else None,
        gpu=(gpus or (rocm.gpu,)) if rocm else (),
        march=asked.march,
        flavour="debian" if asked.flavour == "debian" else "upstream",
        here=asked.here,
    )
    if gpus and rocm is None:
        raise click.UsageError("--gpu is for builds with ROCm; the target has none, or --cpu-only was given")
    return target, choice


def chosen_for(choice: Choice, asked: Asked) -> tuple[Chosen, ...]:
    """Return the settings of a choice.

    Raises:
        InputError: A value is refused, or the version is not known.
    """
    from debtool.torch.settings import given, load_settings

    known = load_settings()
    return known.override(choice, known.chosen(choice), given(asked.pairs))


def _target(settings: Settings, name: str | None) -> Target:
    project = settings.project
    if name is not None:
        return project.target(name)
    built = (one for one in project.stack.targets if _is_built(settings, one))
    return settings.target(next(built, None))


def _is_built(settings: Settings, target: str) -> bool:
    torch = settings.project.stack.artefacts_for(target).get("torch")
    return torch is not None and torch.kind == "build"


def _version(settings: Settings, target: Target, text: str | None, rocm: str | None) -> Version:
    """Return the result's version: what was given, else the stack's; a local part says what it was built for."""
    from packaging.version import InvalidVersion, Version

    from debtool.model.errors import InputError, Issue

    if text is None:
        if not _is_built(settings, target.name):
            raise click.UsageError(f"the stack builds no torch for {target.name}; say which: --version 2.7.1")
        text = settings.project.stack.artefacts_for(target.name)["torch"].version
        if rocm is None:
            text = text.partition("+")[0]
    try:
        version = Version(text)
    except InvalidVersion:
        raise InputError(
            Issue(f"{text!r} is no version", field="--version", fix="--version 2.7.1", rule="PEP 440")
        ) from None
    if version.local is None:
        built_for = "cpu" if rocm is None else "rocm" + ".".join(rocm.split(".")[:2])
        version = Version(f"{version}+{built_for}.noavx")
    return version
