"""Wheels made by hand, so that tests can make wrong ones."""

from __future__ import annotations

import base64
import hashlib
import stat
import zipfile
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from debtool.wheel.source import Wheel, open_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class HandMadeWheels:
    """Writes wheels of `FILES`, changed as a test needs them, into one folder."""

    name = "demo_pkg-1.0-py3-none-any.whl"
    info = "demo_pkg-1.0.dist-info"
    metadata = (
        "Metadata-Version: 2.4\n"
        "Name: Demo.Pkg\n"
        "Version: 1.0\n"
        "Summary: A demo of a wheel.\n"
        "Home-page: https://demo.example.org\n"
        "License-Expression: MIT\n"
        "Requires-Python: >=3.8\n"
        "Requires-Dist: dep-a>=1\n"
        'Requires-Dist: dep-b; python_version < "3.11"\n'
        'Requires-Dist: dep-c[fast]~=2.1; sys_platform == "linux"\n'
        'Requires-Dist: dep-x; extra == "x"\n'
        'Requires-Dist: demo-pkg[x]; extra == "all"\n'
        "\n"
        "Demo.Pkg is a thing that tests are made with, and this is a paragraph which says so at some length.\n"
    )
    wheel = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files: Mapping[str, bytes] = {
        "demo/__init__.py": b"def hello():\n    return 'hello'\n",
        "demo/data.bin": bytes(range(256)) * 400,
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": wheel.encode(),
        f"{info}/licenses/LICENSE": b"Copyright (c) 2020 The Demo Authors\n\nPermission is granted.\n",
    }

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def write(
        self,
        files: Mapping[str, bytes | None] | None = None,
        *,
        name: str | None = None,
        record: str | None = None,
        modes: Mapping[str, int] | None = None,
    ) -> Path:
        """Write a wheel (a file of None is left out), with a fitting RECORD unless one is given."""
        merged = {path: data for path, data in {**self.files, **(files or {})}.items() if data is not None}
        if record is None:
            record = "".join(self.record_line(*item) for item in merged.items()) + f"{self.info}/RECORD,,\n"
        path = self.folder / (name or self.name)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in {**merged, f"{self.info}/RECORD": record.encode()}.items():
                entry = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))
                entry.external_attr = (stat.S_IFREG | (modes or {}).get(member, 0o644)) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data)
        return path

    def open(self, files: Mapping[str, bytes | None] | None = None, **options: str | Mapping[str, int]) -> Wheel:
        """Write a wheel and open it until the test ends."""
        return self._stack.enter_context(open_wheel(self.write(files, **options)))  # type: ignore[arg-type]

    @staticmethod
    def record_line(name: str, data: bytes) -> str:
        """Return RECORD's line for a file."""
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        return f"{name},sha256={digest},{len(data)}\n"


@pytest.fixture
def handmade(tmp_path: Path) -> Iterator[HandMadeWheels]:
    """A maker of wheels, good and bad."""
    folder = tmp_path / "handmade"
    folder.mkdir()
    with ExitStack() as stack:
        yield HandMadeWheels(folder, stack)
