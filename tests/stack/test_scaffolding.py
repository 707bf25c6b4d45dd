"""A stack of one's own: an application that has nothing to do with Forge, from nothing to a published suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import requests

from debtool.archive.archive import Archive
from debtool.stack.project import open_project
from debtool.stack.scaffolding import new_stack
from debtool.stack.service import free_port
from tests.support.drafts import TARGET, target
from tests.support.workshops import PYTHON


def test_a_new_stack_is_complete_and_right(tmp_path: Path) -> None:
    where = target(PYTHON)
    files = new_stack(tmp_path / "deep/hello", name="hello", maintainer="Ada <ada@example.org>", target=where)
    assert sorted(str(file.relative_to(tmp_path / "deep/hello")) for file in files) == [
        ".gitignore",
        "app/main.py",
        "archive.toml",
        "stack.toml",
    ]
    assert all(file.is_file() for file in files)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["hello"]
    project = open_project(tmp_path / "deep/hello/stack.toml")
    assert project.stack.name == "hello"
    assert [package.recipe for package in project.stack.package] == ["keyring", "runtime", "meta", "tree"]
    assert project.archive_definition().origin == "hello"
    for file in files:
        assert "forge" not in file.read_text().lower()


def test_it_is_locked_released_and_its_application_answers(tmp_path: Path) -> None:
    # A short path: GnuPG's agent has its socket beside the key.
    with tempfile.TemporaryDirectory(prefix="dt-") as folder:
        stack = Path(folder, "hello")

        def debtool(*arguments: str | Path) -> dict[str, object]:
            done = subprocess.run(
                [sys.executable, "-m", "debtool.cli.main", "--cache", f"{folder}/cache", *arguments, "--json"],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "DEBTOOL_CONFIG": f"{stack}/stack.toml"},
            )
            assert done.returncode == 0, done.stderr
            report: dict[str, object] = json.loads(done.stdout)
            return report

        new_stack(stack, name="hello", maintainer="Ada <ada@example.org>", target=target(PYTHON))
        (stack / "targets").mkdir()
        (stack / "targets/here.toml").write_text(TARGET.format(python=PYTHON))
        assert debtool("lock", "--target", "here")["distributions"] == 1
        debtool("release", "--target", "here")
        published = {package.name: package for package in Archive.open(stack / "public").published("here-stable")}
        assert set(published) == {
            "hello-app",
            "hello-archive-keyring",
            "hello-deps",
            "hello-python3-click",
            "hello-runtime",
        }

        # dpkg's own tools unpack it, and the application imports what it was packaged with.
        root = tmp_path / "root"
        for package in published.values():
            subprocess.run(["dpkg-deb", "--extract", stack / "public" / package.filename, root], check=True)
        site = root / f"usr/lib/hello/venv/lib/python{PYTHON}/site-packages"
        port = free_port()
        with (tmp_path / "log").open("w") as log:
            application = subprocess.Popen(
                [sys.executable, "-S", root / "usr/share/hello/app/main.py", f"--port={port}", f"--state={tmp_path}"],
                env={"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=log,
                stderr=log,
            )
        try:
            assert answer(port) == "Hello from hello: /\n"
        finally:
            application.kill()
            application.wait()


def answer(port: int) -> str:
    for _ in range(200):
        with suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{port}/", timeout=10, proxies={"http": ""}).text
        time.sleep(0.05)
    raise AssertionError("the application did not answer")
