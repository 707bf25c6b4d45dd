"""Worker processes without their parent, and with an interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from debtool.deb.workers import begin_worker


def work(seconds):
    print(os.getpid(), flush=True)
    time.sleep(seconds)
    return os.getpid()


if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGINT, lambda *_: None)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=begin_worker) as pool:
        print(*pool.map(work, [float(sys.argv[1])] * 2), flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "pool.py"
    path.write_text(SCRIPT)
    return path


def started(script: Path, seconds: float) -> tuple[subprocess.Popen[str], list[int]]:
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, script, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, [int(process.stdout.readline()) for _ in range(2)]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_end_when_their_parent_is_killed(script: Path) -> None:
    process, workers = started(script, 60)
    assert all(map(is_running, workers))
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_running, workers))


def test_workers_leave_an_interruption_to_their_parent(script: Path) -> None:
    process, workers = started(script, 1)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert sorted(map(int, out.split())) == sorted(workers)
    assert process.returncode == 0
