"""Names: a Python distribution's, a Debian package's, and how one becomes the other."""

from __future__ import annotations

import re

from packaging.utils import NormalizedName, canonicalize_name

from debtool.model.errors import InputError, Issue

_DEBIAN_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_DISTRIBUTION_NAME = re.compile(r"[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9]", re.IGNORECASE)


def distribution_name(name: str) -> NormalizedName:
    """Return the normalised form of a distribution's name (PEP 503).

    >>> distribution_name("Ruamel.Yaml_clib")
    'ruamel-yaml-clib'
    """
    if not _DISTRIBUTION_NAME.fullmatch(name):
        raise InputError(
            Issue(
                f"{name!r} is no distribution name",
                rule="letters, digits, '.', '_' and '-', with a letter or digit at both ends (PEP 508)",
                fix="correct the name",
            )
        )
    return canonicalize_name(name)


def debian_name(name: str) -> str:
    """Return ``name`` if dpkg takes it as a package name (Debian Policy 5.6.1), else raise ``InputError``."""
    if not _DEBIAN_NAME.fullmatch(name):
        raise InputError(
            Issue(
                f"{name!r} is no package name",
                rule="at least two of a-z 0-9 + - . and a letter or digit first (Debian Policy 5.6.1)",
                fix="correct the name or the stack's prefix",
            )
        )
    return name


def wheel_package(prefix: str, distribution: str) -> str:
    """Return the name of the package that carries a wheel.

    >>> wheel_package("cheesegrater", "Jinja2")
    'cheesegrater-python3-jinja2'
    """
    return debian_name(f"{prefix}-python3-{distribution_name(distribution)}")
