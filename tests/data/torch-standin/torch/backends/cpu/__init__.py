"""The CPU."""

from torch import _C


def get_cpu_capability() -> str:
    """Return ``NO AVX``, ``AVX2`` or ``AVX512``: the best that kernels are used of."""
    capability: str = _C._get_cpu_capability()
    return capability
