"""A throwaway root: a small system of its own to install into, which vanishes with the process that opened it.

How it cannot harm the host: every mount is made inside a private mount namespace whose only anchor is one *holder*
process. The host never sees a mount point below the instance's folder, so removing that folder can remove nothing
else; and when the holder ends, for whatever reason, the kernel ends every process in its PID namespace and drops the
mounts. The holder reads from a pipe of ours and ends at its end of file, so `kill -9` of debtool ends it too.

It is no security boundary: what runs inside is root and shares the host's network.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import textwrap
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

# The environment of a login on a fresh machine. Nothing of the host's comes in: a variable such as
# OPENBLAS_CORETYPE there would change what is tried here.
CLEAN_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

_MAX_LINKS = 40  # as path_resolution(7)

# Below /proc/PID, and nsenter's option for each. The network's is shared with the host.
_NAMESPACES = {"ns/mnt": "mount", "ns/pid": "pid", "ns/ipc": "ipc", "ns/uts": "uts"}

# Run by the holder as PID 1 of its namespaces, in the instance's folder; $1 is the image, $2 is "overlay" or "copy".
# The first line is the PID as the host sees it (/proc is still the host's there). It ignores SIGCHLD, so that the
# kernel reaps orphans (sigaction(2)); a shell's trap would not outlive exec.
_HOLD = """
set -eu
read -r pid _ < /proc/self/stat
mount --bind "$1" lower
mount -o remount,bind,ro lower
overlay() { mount -t overlay -o "lowerdir=lower,upperdir=upper,workdir=work$1" overlay root 2>/dev/null; }
if [ "$2" = copy ] || ! { overlay ,volatile || overlay ""; }; then
    cp --archive --reflink=auto lower/. upper/
    mount --bind upper root
fi
umount lower
mount -t proc -o nosuid,nodev,noexec proc root/proc
for part in sys sysrq-trigger; do
    [ -e "root/proc/$part" ] || continue
    mount --bind "root/proc/$part" "root/proc/$part"
    mount -o remount,bind,ro "root/proc/$part"
done
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs root/sys
mount -t tmpfs -o mode=755,size=1m dev root/dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "root/dev/${node%:*}" c 1 "${node#*:}"; done
mknod -m 666 root/dev/tty c 5 0
mkdir root/dev/pts root/dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts root/dev/pts
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
ln -s /proc/self/fd/0 root/dev/stdin
ln -s /proc/self/fd/1 root/dev/stdout
ln -s /proc/self/fd/2 root/dev/stderr
mount -t tmpfs -o mode=1777,nosuid,nodev shm root/dev/shm
mount -t tmpfs -o mode=1777,nosuid,nodev tmp root/tmp
mount -t tmpfs -o mode=755,nosuid,nodev run root/run
mkdir -m 1777 root/run/lock
hostname root
echo "$pid"
exec env --ignore-signal=CHLD chroot root /bin/cat
"""


@dataclass(frozen=True, slots=True)
class User:
    """An account of a root, from its passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


class Daemon:
    """A program that keeps running inside a root.

    Attributes:
        log: The file on the host that its output goes to.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log

    @property
    def status(self) -> int | None:
        """None while it runs, then its exit status; the negative number of the signal that ended it."""
        return self._process.poll()

    def log_tail(self, lines: int = 30) -> str:
        """Return the last ``lines`` lines of its output."""
        with self.log.open(encoding="utf-8", errors="replace") as stream:
            return "".join(deque(stream, maxlen=lines))

    def stop(self, patience: float = 10) -> None:
        """End it and its process group: with SIGTERM, after ``patience`` seconds with SIGKILL."""
        deadline = time.monotonic() + patience
        _signal_group(self._process.pid, signal.SIGTERM)
        while _signal_group(self._process.pid, 0) and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.05)
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Root:
    """One instance of an image, in a folder of its own; use it as a context manager.

    Attributes:
        folder: Where its changes are kept on the host until it is closed.
    """

    def __init__(self, image: Path, folder: Path, *, copy: bool = False) -> None:
        """Open a root with the content of ``image`` below ``folder``, an empty folder that stays the caller's.

        Args:
            image: An unpacked system; it is only read.
            folder: On a file system with room for what will be installed.
            copy: Copy the image first. Without it, changes go to an overlay, and a copy is made only where the
                kernel or the file system knows no overlay.

        Raises:
            OutsideError: The mounts cannot be made; the kernel's answer is in it.
        """
        self.folder = folder
        for name in ("lower", "upper", "work", "root"):
            (folder / name).mkdir()
        shutil.copystat(image, folder / "upper")
        namespaces = ("--mount", "--propagation", "private", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
        self._holder = subprocess.Popen(
            ["unshare", *namespaces, "--", "sh", "-c", _HOLD, "hold", str(image), "copy" if copy else "overlay"],
            cwd=folder,
            env=dict(CLEAN_ENVIRONMENT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._daemons: list[Daemon] = []
        self._handles: dict[str, int] = {}
        pid = _pipe(self._holder.stdout).readline().strip()
        # Before the chroot, the holder's root is the host's: it is inside when cat says what it hears.
        if not pid or not self._hears():
            reason = _pipe(self._holder.stderr).read().strip()
            self.close()
            raise OutsideError(
                Issue(f"a throwaway root could not be mounted: {reason}", fix="allow mounts here (CAP_SYS_ADMIN)")
            )
        try:
            self._take_hold(pid)
            self._adopt_name_service()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process inside and drop the mounts; what is below `folder` is then the changes alone."""
        for daemon in self._daemons:
            daemon.stop()
        self._daemons.clear()
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()
        # communicate() ends the holder's input, which ends the holder, which is PID 1 of everything inside.
        self._holder.communicate()

    def _hears(self) -> bool:
        with contextlib.suppress(BrokenPipeError):
            print("inside", file=_pipe(self._holder.stdin), flush=True)
        return _pipe(self._holder.stdout).readline() == "inside\n"

    def _take_hold(self, pid: str) -> None:
        """Open the holder's root and namespaces, once, and make sure that none of them is the host's.

        From then on the process number is not used: were the holder to die, its number could become another
        process's, and its root the host's.
        """
        for name in ("root", *_NAMESPACES):
            self._handles[name] = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
            ours, host = os.fstat(self._handles[name]), Path(f"/proc/self/{name}").stat()
            if (ours.st_dev, ours.st_ino) == (host.st_dev, host.st_ino):
                raise AssertionError(f"the holder of a throwaway root is still in the host's {name}")

    def _handle(self, name: str) -> str:
        """Return a path by which this process and those it starts reach the root, or one of its namespaces.

        Raises:
            InputError: The root is closed.
        """
        if name not in self._handles:
            raise InputError(Issue("the throwaway root is closed", fix="use it within its context"))
        return f"/proc/{os.getpid()}/fd/{self._handles[name]}"

    def _adopt_name_service(self) -> None:
        self.path("/etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
        self.path("/etc/hosts").write_text("127.0.0.1 localhost root\n::1 localhost\n")

    def path(self, inside: str) -> Path:
        """Return the host's way to the absolute path ``inside``, as long as the root is open.

        Symbolic links are followed as they are inside, never into the host (``openat2(2)``, ``RESOLVE_IN_ROOT``);
        parts that do not exist yet are taken literally.
        """
        base = Path(self._handle("root"))
        resolved: list[str] = []
        ahead = deque(part for part in inside.split("/") if part not in ("", "."))
        links = 0
        while ahead:
            part = ahead.popleft()
            if part == "..":
                del resolved[-1:]
                continue
            here = base.joinpath(*resolved, part)
            if not here.is_symlink():
                resolved.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InputError(Issue("too many symbolic links", fix="name another path", field=inside))
            link = here.readlink()
            if link.is_absolute():
                resolved.clear()
            ahead.extendleft(reversed([part for part in link.parts if part != "/"]))
        return base.joinpath(*resolved)

    def copy_in(self, source: Path, inside: str) -> None:
        """Copy a file or a folder of the host to ``inside``, with its modes and times, owned by root.

        What a folder holds already stays where the copy has nothing of that name.
        """
        destination = self.path(inside)
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, destination, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, destination)

    def user(self, name: str) -> User:
        """Return the account called ``name``.

        Raises:
            InputError: There is none.
        """
        for line in self.path("/etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return User(name, int(fields[2]), int(fields[3]), fields[5], fields[6])
        raise InputError(Issue("no such account in the root", fix="install what makes it first", field=name))

    def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: str = "",
        timeout: float | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` inside and return its status and output.

        Args:
            command: The program, looked up in the root's PATH, and its arguments.
            environment: Its whole environment, instead of `CLEAN_ENVIRONMENT`.
            user: The account it runs as, with that account's groups; root by default.
            stdin: What it reads.
            timeout: Seconds after which its whole process group is killed.
            check: Treat a status other than 0 as an error.

        Raises:
            OutsideError: It failed (with the end of its output) or took too long.
        """
        process = subprocess.Popen(
            self._enter(command, user),
            env=dict(CLEAN_ENVIRONMENT if environment is None else environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise _failure(command, f"took longer than {timeout:g} s", out + err) from None
        except BaseException:
            _signal_group(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if check and process.returncode != 0:
            raise _failure(command, describe_status(process.returncode), out + err)
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)

    def start(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        folder: str = "/",
    ) -> Daemon:
        """Start ``command`` inside, its output going to ``log`` on the host; it ends with the root at the latest."""
        with log.open("wb") as stream:
            process = subprocess.Popen(
                self._enter(command, user, folder),
                env=dict(CLEAN_ENVIRONMENT if environment is None else environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        daemon = Daemon(process, log)
        self._daemons.append(daemon)
        return daemon

    def _enter(self, command: Sequence[str], user: str | None, folder: str = "/") -> list[str]:
        # By full path: the environment that it gets need not have PATH.
        enter = [shutil.which("nsenter") or "nsenter", *(f"--{_NAMESPACES[n]}={self._handle(n)}" for n in _NAMESPACES)]
        enter += [f"--root={self._handle('root')}", f"--wd={self._handle('root')}"]
        if user is not None:
            account = self.user(user)
            command = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups", "--", *command]
        if folder != "/":
            command = ["env", f"--chdir={folder}", *command]
        return [*enter, "--", *command]


def describe_status(status: int) -> str:
    """Return what an exit status says, in words.

    >>> describe_status(3), describe_status(-4)
    ('ended with status 3', 'was killed by SIGILL (Illegal instruction)')
    """
    if status >= 0:
        return f"ended with status {status}"
    number = signal.Signals(-status)
    return f"was killed by {number.name} ({signal.strsignal(number)})"


def _failure(command: Sequence[str], what: str, output: str) -> OutsideError:
    tail = "\n".join(output.strip().splitlines()[-20:])
    return OutsideError(
        Issue(
            f"in the throwaway root, {textwrap.shorten(' '.join(command), 200)!r} {what}:\n{tail}\n",
            fix="mend what its output names",
        )
    )


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group and return whether there still was one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise AssertionError("opened with a pipe")
    return stream
