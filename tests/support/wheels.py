"""Small real wheels and sdists, made on the spot."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class TinyWheels:
    """Makes small real wheels and sdists in one folder, which pip and uv are given as their only source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def wheel(
        self,
        name: str,
        version: str,
        *,
        requires: Sequence[str] = (),
        tag: str = "py3-none-any",
        body: str | None = "",
        summary: str | None = None,
        files: Mapping[str, bytes] | None = None,
        folder: Path | None = None,
    ) -> Path:
        """Write ``<name>-<version>-<tag>.whl`` holding one module of that name, or none where ``body`` is None.

        ``files`` are further ones, by path.
        """
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
        metadata += [f"Summary: {summary}"] if summary else []
        members = {f"{module}.py": body} if body is not None else {}
        members |= {
            f"{info}/METADATA": "\n".join([*metadata, ""]),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        contents = {path: text.encode() for path, text in members.items()} | dict(files or {})
        record = [f"{path},sha256={_record_hash(data)},{len(data)}" for path, data in contents.items()]
        contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
        path = (folder or self.folder) / f"{module}-{version}-{tag}.whl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in contents.items():
                archive.writestr(zipfile.ZipInfo(member), data)
        return path

    def sdist(self, name: str, version: str, files: Mapping[str, str]) -> Path:
        """Write ``<name>-<version>.tar.gz`` with ``files`` below its top folder, and a PKG-INFO."""
        top = f"{name}-{version}"
        info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        path = self.folder / f"{top}.tar.gz"
        # No date, so that the same files make the same archive.
        with gzip.GzipFile(path, "wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
            for member, text in {"PKG-INFO": info, **files}.items():
                entry = tarfile.TarInfo(f"{top}/{member}")
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        return path


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
