"""A stand-in for torchvision: one operator, and the codecs that were built in."""

import torch  # noqa: F401 -- loads the libraries that torchvision._C needs and has no path to

from torchvision import io, ops
from torchvision.version import __version__

__all__ = ["__version__", "io", "ops"]
