"""psutil: what does not change between two calls."""

from __future__ import annotations

from typing import Any

import psutil


def machine() -> Any:
    """Numbers about this machine and this process."""
    process = psutil.Process()
    return [
        psutil.virtual_memory().total > 0,
        process.pid > 0,
        len(process.cmdline()) > 0,
        process.num_threads() > 0,
        len(psutil.net_if_addrs()) > 0,
        len(psutil.disk_partitions(all=True)) > 0,
    ]
