"""What comes out: the same bytes everywhere, and exactly these files, modes and fields."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from debtool.deb.reader import read_control, read_deb
from debtool.stack.make import make_packages
from debtool.stack.release import plan_release
from tests.support.drafts import Notes
from tests.support.workshops import PYTHON, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.wheels import TinyWheels

TAG = f"cpython-{PYTHON.replace('.', '')}"
VENV = "/usr/lib/acme/venv"
SITE = f"{VENV}/lib/python{PYTHON}/site-packages"
FILES = {
    "acme-app": [
        "-rw-r--r-- /etc/acme/app.conf",
        "-rw-r--r-- /usr/lib/systemd/system/acme-app.service",
        "-rw-r--r-- /usr/share/acme/app/LICENSE",
        "-rw-r--r-- /usr/share/acme/app/lib/__init__.py",
        "-rw-r--r-- /usr/share/acme/app/lib/greet.py",
        "-rw-r--r-- /usr/share/man/man1/acme-app.1.gz",
        "-rwxr-xr-x /usr/bin/acme-app",
        "-rwxr-xr-x /usr/share/acme/app/main.py",
        "lrwxrwxrwx /usr/share/acme/app/greet.py -> lib/greet.py",
        "lrwxrwxrwx /usr/share/acme/app/tmp -> /var/lib/acme-app/tmp",
        "lrwxrwxrwx /usr/share/acme/app/var/cache -> /var/lib/acme-app/var/cache",
    ],
    "acme-archive-keyring": [
        "-rw-r--r-- /usr/share/acme-archive-keyring/acme.sources",
        "-rw-r--r-- /usr/share/keyrings/acme-archive-keyring.gpg",
    ],
    "acme-deps": [],
    "acme-doctor": [
        "-rw-r--r-- /etc/acme/doctor.conf",
        "-rw-r--r-- /usr/share/man/man1/acme-doctor.1.gz",
        "-rwxr-xr-x /usr/bin/acme-doctor",
    ],
    "acme-python3-alpha": [
        f"-rw-r--r-- {SITE}/__pycache__/alpha.{TAG}.pyc",
        f"-rw-r--r-- {SITE}/alpha-1.2.0.dist-info/INSTALLER",
        f"-rw-r--r-- {SITE}/alpha-1.2.0.dist-info/METADATA",
        f"-rw-r--r-- {SITE}/alpha-1.2.0.dist-info/REQUESTED",
        f"-rw-r--r-- {SITE}/alpha-1.2.0.dist-info/WHEEL",
        f"-rw-r--r-- {SITE}/alpha-1.2.0.dist-info/top_level.txt",
        f"-rw-r--r-- {SITE}/alpha.py",
    ],
    "acme-python3-beta": [
        f"-rw-r--r-- {SITE}/__pycache__/beta.{TAG}.pyc",
        f"-rw-r--r-- {SITE}/beta-0.5.dist-info/INSTALLER",
        f"-rw-r--r-- {SITE}/beta-0.5.dist-info/METADATA",
        f"-rw-r--r-- {SITE}/beta-0.5.dist-info/WHEEL",
        f"-rw-r--r-- {SITE}/beta-0.5.dist-info/top_level.txt",
        f"-rw-r--r-- {SITE}/beta.py",
    ],
    "acme-runtime": [
        f"-rw-r--r-- {VENV}/pyvenv.cfg",
        f"lrwxrwxrwx {VENV}/bin/python -> python{PYTHON}",
        f"lrwxrwxrwx {VENV}/bin/python3 -> python{PYTHON}",
        f"lrwxrwxrwx {VENV}/bin/python{PYTHON} -> ../../../../bin/python{PYTHON}",
        f"lrwxrwxrwx {VENV}/lib64 -> lib",
    ],
}
COMMON = {"Maintainer": "Ada <ada@example.org>", "Homepage": "https://example.org/acme", "Priority": "optional"}
FIELDS: dict[str, dict[str, str | None]] = {
    "acme-app": {
        **COMMON,
        "Package": "acme-app",
        "Version": "2.0-1~here1",
        "Architecture": "all",
        "Depends": "adduser, acme-archive-keyring, acme-runtime, acme-deps (= 1.0-1~here1)",
        "Recommends": "acme-doctor",
        "Section": "web",
        "Description": "application of Acme\n Works.",
    },
    "acme-deps": {
        **COMMON,
        "Version": "1.0-1~here1",
        "Architecture": "amd64",
        "Depends": "acme-python3-alpha (= 1.2.0-1~here1), acme-python3-beta (= 0.5-1~here1)",
        "Section": "metapackages",
    },
    "acme-python3-alpha": {
        **COMMON,
        "Version": "1.2.0-1~here1",
        "Architecture": "all",
        "Depends": "acme-runtime, acme-python3-beta (>= 0.5), acme-python3-beta (<< 2~~)",
        "Section": "python",
    },
    "acme-python3-beta": {**COMMON, "Depends": "acme-runtime"},
    "acme-runtime": {**COMMON, "Architecture": "all", "Depends": f"python{PYTHON}", "Recommends": None},
}


@pytest.fixture
def everyday() -> Iterator[None]:
    """Put umask and time zone back after the test."""
    mask = os.umask(0o022)
    yield
    os.umask(mask)
    os.environ.pop("TZ", None)
    time.tzset()


def build(workshop: Workshop, *, jobs: int = 1) -> dict[str, Path]:
    """Build every package; the archive does not exist, so the keyring has no key."""
    workshop.wheel("alpha", "1.2.0", requires=["beta<2,>=0.5"], body="ANSWER = {1, 2, 'x'}\n")
    workshop.wheel("beta", "0.5", body="NAME = 'beta'\n")
    workshop.lock()
    request = workshop.request(bytecode=True)
    plan = plan_release(request, Notes())
    make_packages(plan.packages, request.store, jobs=jobs, watcher=Notes())
    return workshop.debs()


@pytest.mark.usefixtures("everyday")
def test_the_same_inputs_give_the_same_bytes_anywhere(
    tmp_path: Path, tiny_index: TinyWheels, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(Workshop(tmp_path / "one", tiny_index), jobs=3)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("LANG", "tr_TR.UTF-8")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    os.umask(0o077)
    other = Workshop(tmp_path / "a much longer name of a folder", tiny_index)
    for path in (other.folder / "app").rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    second = build(other)
    assert sorted(first) == sorted(second) == sorted(FILES)
    assert [name for name in first if first[name].read_bytes() != second[name].read_bytes()] == []
    for name, files in FILES.items():
        own = [file for file in contents(first[name]) if "/share/doc/" not in file and "/lintian/" not in file]
        assert sorted(own) == sorted(files)
    for name, fields in FIELDS.items():
        control = dict(read_control(first[name]))
        assert {key: control.get(key) for key in fields} == fields
        assert list(control)[-2:] == ["Debtool-Input-Key", "Description"]
    assert read_deb(first["acme-app"]).control_files["conffiles"] == b"/etc/acme/app.conf\n"
    # No maintainer scripts where none are needed.
    scripts = {"preinst", "postinst", "prerm", "postrm", "triggers", "conffiles"}
    for name in ("acme-python3-alpha", "acme-deps", "acme-runtime"):
        assert not scripts & read_deb(first[name]).control_files.keys()


def contents(deb: Path) -> list[str]:
    """Return every path but folders as ``MODE PATH``, with the release's date on all and root as their owner."""
    said = subprocess.run(
        ["dpkg-deb", "--contents", deb], capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"}
    ).stdout.splitlines()
    rows = [line.split(maxsplit=5) for line in said]
    assert {(row[1], row[3], row[4]) for row in rows} == {("root/root", "2026-11-23", "00:00")}
    assert {row[0] for row in rows if row[0].startswith("d")} == {"drwxr-xr-x"}
    return [f"{row[0]} {row[5].removeprefix('.')}" for row in rows if not row[0].startswith("d")]
