"""Where debtool's own data is: beside the package in a checkout, inside it when installed from a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def is_installed(path: Path) -> bool:
    """Return whether ``path`` belongs to an installed debtool's own data, which nothing is written to."""
    return path.resolve().is_relative_to(_PACKAGE / "_shipped")


def shipped(name: str) -> Path:
    """Return the folder or file of debtool's own that is called ``name``: ``debian-templates``, ``repo/demo.toml`` ….

    Raises:
        FileNotFoundError: debtool was installed without its data; a broken installation, never a user's mistake.
    """
    for base in (_PACKAGE / "_shipped", _PACKAGE.parent):
        if (base / name).exists():
            return base / name
    raise FileNotFoundError(f"debtool's installation lacks its data file {name}")
