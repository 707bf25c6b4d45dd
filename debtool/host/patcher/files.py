"""Files of a machine, by descriptors.

No symbolic link is followed that a stranger could have made, no file is written into, and a new one takes the old
one's place in one step.
"""

# ruff: noqa: PLC0415, PTH118, PTH119, PTH120, PTH208
# Pathlib costs half a start of Python; what only some runs need is loaded there.
from __future__ import annotations

import contextlib
import errno
import os
import stat

from .errors import ChangedError, OutsideError, PatchError
from .values import dataclass

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST = 16 << 20
"""A module is smaller than this many bytes; what is larger is not read."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
LINKS = 40
"""The kernel's own limit of symbolic links in one path (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes, what lstat(2) said of it, and its extended attributes (ACLs are some)."""

    data: bytes
    status: os.stat_result
    attributes: tuple[tuple[str, bytes], ...] = ()

    def same(self, other: Content) -> bool:
        """Say whether it is the same file, untouched."""
        return self.data == other.data and identity(self.status) == identity(other.status)


def identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes when a file is replaced or written: device, inode, size, time."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Folder:
    """An open folder and its real path on the machine."""

    def __init__(self, handle: int, path: str) -> None:
        self.handle, self.path = handle, path

    @classmethod
    def at(cls, path: str) -> Folder:
        """Open a folder of our own state by its path. Raises OutsideError."""
        try:
            return cls(os.open(path, FOLDER), path)
        except OSError as error:
            raise OutsideError(f"{path}: {error.strerror}") from error

    def __enter__(self) -> Folder:  # noqa: PYI034 -- Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)

    def names(self) -> list[str]:
        """Return the names in it, sorted."""
        return sorted(os.listdir(self.handle))

    def status(self, name: str) -> os.stat_result | None:
        """Return lstat(2) of a name in it, or None."""
        try:
            return os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def sub(self, name: str) -> Folder | None:
        """Open a folder in it that is no symbolic link; None where there is none."""
        try:
            return Folder(os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=self.handle), f"{self.path}/{name}")
        except OSError:
            return None

    def remove(self, name: str) -> bool:
        """Remove a file of it, and say whether there was one."""
        try:
            os.unlink(name, dir_fd=self.handle)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str, *, attributes: bool = False) -> Content:
        """Read a regular file. Raises FileNotFoundError, PatchError for anything else, OutsideError."""
        try:
            # Without O_NONBLOCK a FIFO in its place would hold us for ever.
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.handle)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise PatchError("a symbolic link: name the file itself") from error
            raise OutsideError(f"{self.path}/{name}: {error.strerror}") from error
        # Kept open by its number, as fdopen() refuses a folder.
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise PatchError("not a regular file")
            if status.st_size > LARGEST:
                raise PatchError(f"larger than {LARGEST >> 20} MB: no module")
            with open(handle, "rb", closefd=False) as stream:
                return Content(stream.read(), status, tuple(_attributes(handle)) if attributes else ())
        finally:
            os.close(handle)

    def replace(
        self,
        name: str,
        data: bytes,
        *,
        marker: str,
        mode: int = 0o644,
        like: Content | None = None,
        still: Callable[[], bool] | None = None,
    ) -> None:
        """Put a new file at ``name`` in one step, with ``mode``, or with owner, mode and attributes of ``like``.

        Never writes into the old file: uv hard-links files of several environments to one cache. ``still`` is asked
        right before the step; without its yes nothing happens. Raises ChangedError, OutsideError.
        """
        temporary = temporary_name(name, marker)
        try:
            self.remove(temporary)  # left by a run that was killed
            handle = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                dir_fd=self.handle,
            )  # fmt: skip
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                if like is None:
                    os.fchmod(handle, mode)
                else:
                    _dress(handle, like)
                os.fsync(handle)
            _ask(still)
            os.rename(temporary, name, src_dir_fd=self.handle, dst_dir_fd=self.handle)
            os.fsync(self.handle)
        except OSError as error:
            self._give_up(temporary)
            raise OutsideError(f"{self.path}/{name}: {error.strerror}") from error
        except ChangedError:
            self._give_up(temporary)
            raise

    def _give_up(self, temporary: str) -> None:
        with contextlib.suppress(OSError):
            self.remove(temporary)


def _ask(still: Callable[[], bool] | None) -> None:
    if still is not None and not still():
        raise ChangedError("the file changed while it was being patched; run again")


def temporary_name(name: str, marker: str) -> str:
    """Return the name that a new file has before it is put in place: hidden, and no module's."""
    return f".{name}.{marker}"


def _attributes(handle: int) -> Iterator[tuple[str, bytes]]:
    try:
        names = os.listxattr(handle)
    except OSError:
        return  # a file system without them
    for name in names:
        with contextlib.suppress(OSError):
            yield name, os.getxattr(handle, name)


def _dress(handle: int, like: Content) -> None:
    """Give owner, mode (without setuid bits) and extended attributes of the old file."""
    old = like.status
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(handle, old.st_uid, old.st_gid)
    os.fchmod(handle, stat.S_IMODE(old.st_mode) & 0o777)
    for name, value in like.attributes:
        try:
            os.setxattr(handle, name, value)
        except OSError as error:
            # Labels are given by the kernel's own rules; an ACL or a user's attribute that cannot be kept is an error.
            if not name.startswith(("security.", "trusted.")):
                raise OSError(error.errno, f"the attribute {name} cannot be kept: {error.strerror}") from error


class Tree:
    """A machine's file tree below ``root``; paths are those of the machine."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"
        self.user = os.geteuid()
        self._homes: dict[int, str] | None = None

    def at(self, path: str) -> str:
        """Return where a path of the machine is for this process."""
        return path if self.root == "/" else self.root + path

    def folder(self, path: str) -> Folder:
        """Open a folder. Links are followed only if root or the user who runs this made them.

        For root, a home of somebody else is closed. Raises FileNotFoundError, PatchError, OutsideError.
        """
        parts, links = _parts(path), 0
        while True:
            result = self._walk(parts)
            if isinstance(result, Folder):
                return result
            parts, links = result, links + 1
            if links > LINKS:
                raise PatchError(f"{path}: too many symbolic links")

    def read(self, path: str) -> Content | None:
        """Read a regular file; None where it cannot be read."""
        try:
            with self.folder(os.path.dirname(path)) as folder:
                return folder.read(os.path.basename(path))
        except (OSError, PatchError, OutsideError):
            return None

    def names(self, path: str) -> list[str]:
        """Return the names in a folder, sorted; none where it cannot be read."""
        try:
            with self.folder(path) as folder:
                return folder.names()
        except (OSError, PatchError, OutsideError):
            return []

    def _walk(self, parts: list[str]) -> Folder | list[str]:
        """Open a folder part by part; on a link that may be followed, return the path to go on with."""
        handle, path = os.open(self.root, FOLDER), ""
        try:
            for number, part in enumerate(parts):
                try:
                    below = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=handle)
                except OSError as error:
                    target = self._link(handle, path, part, error)
                    return _parts(os.path.join(path or "/", target, *parts[number + 1 :]))
                os.close(handle)
                handle, path = below, f"{path}/{part}"
                self._refuse_home(handle, path)
            found, handle = Folder(handle, path or "/"), -1
            return found
        finally:
            if handle >= 0:
                os.close(handle)

    def _link(self, handle: int, path: str, part: str, error: OSError) -> str:
        """Return where a link that may be followed leads. Raises what is the matter instead."""
        shown = f"{path}/{part}"
        try:
            status = os.stat(part, dir_fd=handle, follow_symlinks=False)
        except OSError:
            status = None
        if status is None or not stat.S_ISLNK(status.st_mode):
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                raise FileNotFoundError(error.errno, error.strerror, shown) from error
            raise OutsideError(f"{shown}: {error.strerror}") from error
        if status.st_uid not in {0, self.user}:
            raise PatchError(f"{shown} is a symbolic link of user {status.st_uid}: it is not followed")
        return os.readlink(part, dir_fd=handle)

    def _refuse_home(self, handle: int, path: str) -> None:
        owner = os.fstat(handle).st_uid if self.user == 0 else 0
        if owner != 0 and (os.path.dirname(path) == "/home" or self._home(owner) == path):
            raise PatchError(f"{path} is a home of user {owner}: root touches nothing there; run this as that user")

    def _home(self, owner: int) -> str | None:
        if self.root == "/":
            import pwd

            try:
                return pwd.getpwuid(owner).pw_dir
            except KeyError:
                return None
        if self._homes is None:
            self._homes = {}
            with contextlib.suppress(OSError), open(self.at("/etc/passwd"), encoding="utf-8") as stream:  # noqa: PTH123
                for line in stream:
                    fields = line.rstrip("\n").split(":")
                    self._homes[int(fields[2])] = fields[5]
        return self._homes.get(owner)


def _parts(path: str) -> list[str]:
    """Return a path's parts; what is before a link is real already, so ``..`` may be taken as text."""
    return [part for part in os.path.normpath(path).split("/") if part]
