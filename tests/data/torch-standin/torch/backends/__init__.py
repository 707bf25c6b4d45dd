"""What the kernels run on."""

from torch.backends import cpu

__all__ = ["cpu"]
