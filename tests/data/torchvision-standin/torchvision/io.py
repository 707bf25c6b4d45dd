"""Codecs."""

from torchvision import _C


def codecs() -> dict[str, int]:
    """Return the version of each codec's library; one that was not built in is not there."""
    versions: dict[str, int] = _C.codecs()
    return versions
