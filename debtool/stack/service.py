"""An installed service in a throwaway root: started as its unit says, and watched over HTTP until it answers."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from debtool.build.root import describe_status
from debtool.model.errors import InputError, Issue, OutsideError
from debtool.stack.unit import read_service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from debtool.build.root import Daemon, Root

# systemd.exec(5), "Environment Variables in Spawned Processes".
_SERVICE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
_OK = 200
_POLL_SECONDS = 0.25
_REQUEST_SECONDS = 30


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that was started.

    Attributes:
        package: The package that it is of.
        daemon: Its main process.
        url: Where it is to answer, without a slash at the end.
    """

    package: str
    daemon: Daemon
    url: str

    def wait_for(self, paths: Sequence[str], timeout: float) -> None:
        """Wait until each of ``paths`` is answered with status 200.

        Raises:
            OutsideError: The service ended, or ``timeout`` seconds passed; what it logged last is in it.
        """
        deadline = time.monotonic() + timeout
        # What the environment says of proxies is not for a service on this machine.
        with requests.Session() as session:
            session.trust_env = False
            for path in paths:
                while (answer := _get(session, f"{self.url}{path}")) != str(_OK):
                    if self.daemon.status is not None:
                        raise self._failure(describe_status(self.daemon.status))
                    if time.monotonic() > deadline:
                        raise self._failure(f"did not answer on {path} within {timeout:g} s (last: {answer})")
                    time.sleep(_POLL_SECONDS)

    def _failure(self, what: str) -> OutsideError:
        return OutsideError(
            Issue(f"the service of {self.package} {what}:\n{self.daemon.log_tail()}\n", fix="mend what its log names")
        )


def start_service(root: Root, package: str, log: Path, port: int | None = None) -> RunningService:
    """Start the command of the one service unit of ``package``, as its user and in its environment.

    Args:
        root: Where the package is installed.
        package: Its name.
        log: A file on the host for its output.
        port: Overrides the unit's ``PORT``; by default a free port, because a root shares the host's network.

    Raises:
        InputError: The package has no service, or more than one.
    """
    files = root.run(["dpkg-query", "--listfiles", package]).stdout.splitlines()
    units = [name for name in files if "/systemd/system/" in name and name.endswith(".service")]
    if len(units) != 1:
        raise InputError(Issue(f"{package} has {len(units)} services, not one", fix="name a package with a service"))
    port = port or free_port()
    service = read_service(
        root.path(units[0]).read_text(), lambda name: root.path(name).read_text(), {"PORT": str(port)}
    )
    account = root.user(service.user)
    environment = {
        "PATH": _SERVICE_PATH,
        "LANG": "C.UTF-8",
        "USER": account.name,
        "LOGNAME": account.name,
        "HOME": account.home,
        "SHELL": account.shell,
        **service.environment,
    }
    daemon = root.start(service.command, log=log, environment=environment, user=service.user, folder=service.folder)
    return RunningService(package, daemon, f"http://127.0.0.1:{port}")


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _get(session: requests.Session, url: str) -> str:
    """Return the status of a GET, or the kind of its failure."""
    try:
        with session.get(url, timeout=_REQUEST_SECONDS) as response:
            return str(response.status_code)
    except requests.RequestException as error:
        return type(error).__name__
