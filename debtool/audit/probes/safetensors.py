"""safetensors: bytes there and back."""

from __future__ import annotations

from typing import Any

from safetensors import deserialize, serialize

WITH = ("numpy",)


def round_trip() -> Any:
    """Two tensors, and what is read of them."""
    tensors = {name: {"dtype": "float32", "shape": [4, 8], "data": bytes(range(128))} for name in ("a", "b")}
    data = serialize(tensors, {"made": "by a probe"})
    return [len(data), [[name, list(one["shape"]), bytes(one["data"])] for name, one in sorted(deserialize(data))]]


def arrays() -> Any:
    """NumPy's arrays."""
    import numpy as np
    from safetensors.numpy import load, save

    return load(save({"x": np.arange(50, dtype=np.float32), "y": np.ones((3, 4), np.int8)}))
