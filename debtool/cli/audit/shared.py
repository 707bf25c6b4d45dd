"""What the commands of ``debtool audit`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def refuse_absent(paths: Iterable[Path]) -> None:
    """Raise ``InputError``, which names them all, if some of ``paths`` are not there."""
    from debtool.model.errors import InputError, Issue

    absent = [path for path in paths if not path.exists()]
    if absent:
        raise InputError(*(Issue("there is no such file", fix="check the path", file=path) for path in absent))
