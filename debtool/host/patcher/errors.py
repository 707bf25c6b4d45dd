"""What can go wrong, by whose matter it is."""

from __future__ import annotations


class PatchError(Exception):
    """This copy cannot be patched, or the patched text does not behave; nothing was written (exit status 1)."""


class ChangedError(PatchError):
    """The file was changed by somebody else while it was being patched; trying again is worth while."""


class UsageError(Exception):
    """The configuration or the command line is wrong (exit status 2)."""


class OutsideError(Exception):
    """The system stood in the way: no permission, no space, no interpreter (exit status 3)."""


class DocumentError(OutsideError):
    """``patch.json`` is wrong: the package is damaged (exit status 3)."""
