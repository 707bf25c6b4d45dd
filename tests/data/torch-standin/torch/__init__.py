"""A stand-in for PyTorch: lists of numbers instead of tensors, and nothing else."""

from torch import version
from torch._C import _count_units, _run_units, add, dot, quantized_sum, sum  # noqa: A004 -- the name that torch has
from torch.version import __version__

from torch import backends  # isort: skip -- needs torch._C

__all__ = [
    "__version__",
    "_count_units",
    "_run_units",
    "add",
    "backends",
    "dot",
    "quantized_sum",
    "sum",
    "version",
]
