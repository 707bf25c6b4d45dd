"""What the options of ``debtool torch build`` come to: an order, with everything that is known before it is begun."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debtool.cli.torch.choice import Asked, choice_for, chosen_for

if TYPE_CHECKING:
    from debtool.cli.context import Settings
    from debtool.model.stack import Artefact
    from debtool.model.target import Target
    from debtool.torch.build import Order

_PATH = "/usr/local/bin:/usr/bin:/bin"
"""What the build sees; ROCm's own programs go before it."""


def order_of(
    settings: Settings,
    asked: Asked,
    *,
    source: str | None,
    keyring: Path | None,
    patches: Path | None,
    rocm_path: Path | None,
    jobs: int | None,
    launcher: Any,
    emulate: bool,
    companions: bool,
) -> Order:
    """Return what the options of ``debtool torch build`` ask for; a source tree and the stack are looked at.

    Raises:
        UsageError: Options do not fit together.
        InputError: The source, a setting or a companion is not as it must be.
    """
    from debtool.audit.baselines import find_baseline
    from debtool.model.errors import InputError, Issue
    from debtool.stack.companions import look_at_companions
    from debtool.torch.build import Order
    from debtool.torch.companions import Companion
    from debtool.torch.origin import TreeOrigin, flavour_of_origin
    from debtool.torch.source import look_at, parse_source
    from debtool.torch.wanted import Wanted

    target, choice = choice_for(settings, asked)
    origin = parse_source(source, choice.version, keyring=keyring, patches=patches)
    flavour = flavour_of_origin(origin.origin)
    if asked.flavour is not None and asked.flavour != flavour:
        problem = f"the source is of flavour {flavour}, not {asked.flavour}"
        rule = "Debian's is what apt has, or a tree with debian/control and without third_party"
        raise InputError(Issue(problem, field="--flavour", fix="leave it out, or give another --source", rule=rule))
    choice = replace(choice, flavour=flavour)
    rocm_path = rocm_path or _rocm_path(target)
    chosen = tuple(
        replace(one, value=str(rocm_path)) if one.name == "ROCM_PATH" and not one.by_user else one
        for one in chosen_for(choice, asked)
    )
    interpreter = _interpreter(target.python)
    cpu_only = choice.rocm is None
    order = Order(
        target=target,
        choice=choice,
        chosen=chosen,
        source=origin,
        wanted=Wanted(
            version=choice.version,
            target=target,
            folder=Path(),
            cache=settings.cache,
            path=_PATH if cpu_only else f"{rocm_path}/bin:{_PATH}",
            cpu_only=cpu_only,
            gpu=choice.gpu,
            rocm_path=rocm_path,
            jobs=jobs,
            launcher=launcher,
            interpreter=interpreter,
            flavour=flavour,
            source=origin.origin.path if isinstance(origin.origin, TreeOrigin) else None,
            march=choice.march,
            settings={one.name: one.value for one in chosen},
        ),
        interpreter=interpreter or Path(f"python{target.python}"),  # without one, preflight refuses
        baseline=find_baseline(settings.project.stack.baseline or "westmere"),
        cache=settings.cache,
        own=os.environ,
        emulate=emulate,
        asked={
            "version": str(choice.version),
            "target": target.name,
            "level": choice.level.value,
            "cpu-only": cpu_only,
            "gpu": [*choice.gpu],
            "march": choice.march,
            "here": choice.here,
            "source": source or "upstream",
            "tag-keyring": str(keyring) if keyring else None,
            "patches": str(patches) if patches else None,
            "rocm-path": None if cpu_only else str(rocm_path),
            "launcher": launcher,
            "settings": {one.name: one.value for one in chosen if one.by_user},
        },
    )
    look_at(origin, order.folder)
    found = _companions(settings, order) if companions else []
    look_at_companions(found, settings.project, target)
    belonging = tuple(Companion(one.name, one.version, one.environment) for one in found)
    wanted = replace(order.wanted, folder=order.folder, companions=belonging)
    return replace(order, wanted=wanted, companions=tuple(one.name for one in found))


def _rocm_path(target: Target) -> Path:
    """Return where the target's ROCm is: in its release's own folder, else where the alternative leads."""
    of_release = Path(target.rocm.folder if target.rocm else "/opt/rocm")
    return of_release if of_release.is_dir() else Path("/opt/rocm")


def _interpreter(python: str) -> Path | None:
    """Return the target's Python; None if there is none, which preflight then tells with all else that is missing."""
    from debtool.model.errors import OutsideError
    from debtool.wheel.bytecode import find_interpreter

    try:
        return find_interpreter(python)
    except OutsideError:
        return None


def _companions(settings: Settings, order: Order) -> list[Artefact]:
    """Return what the stack compiles against exactly this torch."""
    from debtool.stack.companions import companions_of, is_expected

    expected = is_expected(order, settings.project)
    return companions_of(settings.project, order.target, "torch") if expected else []
