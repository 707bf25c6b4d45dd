"""Stopping and restarting: tmp/restart tells the supervisor that the end was meant as a restart, as in Forge."""

from __future__ import annotations

import queue

from modules.paths import tmp_path


class ServerCommands:
    """Hands a command from a signal handler or an API call to the main thread."""

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(self, command: str) -> None:
        """Queue "stop" or "restart"."""
        self._commands.put(command)

    def wait(self) -> str:
        """Block until a command comes."""
        return self._commands.get()


def request_restart() -> None:
    """Leave the file that webui.sh, or a unit, looks for after the program has ended."""
    (tmp_path / "restart").touch()
