"""Worker processes: interruptions are their parent's business, and without a parent they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection


def begin_worker() -> None:
    """Begin a worker process of a pool: Ctrl-C reaches it too, and its parent decides.

    It must be started with SIGINT held back (`signal.pthread_sigmask`), so that none arrives before this.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent is gone, however that ended: workers wait for tasks from each other's pipes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def is_alive(pid: int) -> bool:
    """Return whether there is a process ``pid`` on this machine, whoever owns it (kill(2) with signal 0)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
