"""The patch package's maintainer scripts, under real dpkg in throwaway roots (design: divert, interest-await)."""

from __future__ import annotations

import itertools
import py_compile
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from debtool.build.image import RootImage
from debtool.deb.templates import render
from debtool.stack.host_program import host_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.build.root import Root

PREFIX = "/usr/lib/cheesegrater"
SITE = f"{PREFIX}/venv/lib/python3.11/site-packages"
TARGET = f"{SITE}/gradio_client/utils.py"
BYTECODE = f"{SITE}/gradio_client/__pycache__/utils.cpython-311.pyc"
PROGRAM = "/usr/sbin/cheesegrater-gradio-patch"
NAMES = {
    "client": "cheesegrater-python3-gradio-client",
    "patch": "cheesegrater-gradio-patch",
    "app": "cheesegrater-forge",
}
MARKER = b"cheesegrater-gradio-patch"
VALUES = {
    "package": NAMES["patch"],
    "program": PROGRAM,
    "target": TARGET,
    "diverted": f"{TARGET}.distrib",
    "bytecode": BYTECODE,
    "watch": [f"{SITE}/gradio_client"],
}
SCRIPTS = ("preinst", "postinst", "postrm")

pytestmark = pytest.mark.root


@dataclass(frozen=True)
class Deb:
    """One .deb to be made: files and scripts by their paths."""

    name: str
    version: str
    files: dict[str, bytes]
    fields: str = ""
    scripts: dict[str, str] | None = None

    def build(self, folder: Path) -> Path:
        tree = folder / f"{self.name}_{self.version}"
        for path, content in self.files.items():
            file = tree / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o755 if "bin/" in path else 0o644)
            if path.endswith("utils.py"):
                cached = file.parent / "__pycache__" / "utils.cpython-311.pyc"
                py_compile.compile(str(file), str(cached), dfile=path, doraise=True)
        control = tree / "DEBIAN"
        control.mkdir()
        (control / "control").write_text(
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: all\nMaintainer: T <t@example.org>\n"
            f"{self.fields}Description: test\n"
        )
        digests = subprocess.run(
            ["find", ".", "-type", "f", "-not", "-path", "./DEBIAN/*", "-exec", "md5sum", "{}", "+"],
            cwd=tree, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        (control / "md5sums").write_text(digests.replace("  ./", "  "))
        for name, text in (self.scripts or {}).items():
            (control / name).write_text(text)
            (control / name).chmod(0o644 if name == "triggers" else 0o755)
        deb = folder / f"{self.name}_{self.version}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(deb)], check=True, capture_output=True
        )
        shutil.rmtree(tree)
        return deb


@pytest.fixture(scope="session")
def image(cache: Path) -> RootImage:
    return RootImage.ensure("bookworm", cache / "roots", packages=("python3-minimal", "python3"))


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory, sample: bytes) -> Path:
    """client 1 and 2 (affected), 3 (rewritten: cannot be patched), 4 (needs no patch); patch 1 and 2; app 1 and 2."""
    folder = tmp_path_factory.mktemp("debs")
    texts = {
        "1": ("1.2.0", sample),
        "2": ("1.3.0", sample + b"\nNEWER = True\n"),
        "3": ("1.3.1", b"def get_type(schema): return 'x'\n"),
        "4": ("1.8.0", sample),
    }
    for version, (upstream, text) in texts.items():
        files = {
            TARGET: text,
            f"{SITE}/gradio_client/package.json": f'{{"version": "{upstream}"}}'.encode(),
            f"{SITE}/gradio_client/__init__.py": b"",
        }
        Deb(NAMES["client"], version, files).build(folder)
    scripts = {name: render(f"patch/{name}.j2", **VALUES) for name in (*SCRIPTS, "triggers")}
    fields = f"Depends: python3 (>= 3.10)\nEnhances: {NAMES['client']}\n"
    for version in ("1", "2"):
        Deb(NAMES["patch"], version, {PROGRAM: host_program("gradio_patch").encode()}, fields, scripts).build(folder)
        # The application refuses to be configured on unpatched code.
        check = f'#!/bin/sh\nset -e\n[ "$1" != configure ] || grep -q {MARKER.decode()} {TARGET}\n'
        fields_app = f"Depends: {NAMES['client']} (= {version}), {NAMES['patch']}\n"
        Deb(NAMES["app"], version, {"/usr/share/app": b"x"}, fields_app, {"postinst": check}).build(folder)
    return folder


@pytest.fixture
def root(image: RootImage, debs: Path) -> Iterator[Root]:
    with image.instance() as root:
        root.copy_in(debs, "/debs")
        yield root


def packages(*short: str) -> list[str]:
    """("client=2",) -> the path of that .deb inside the root; "=1" where no version is named."""
    named = [name.partition("=") for name in short]
    return [f"/debs/{NAMES[name]}_{version or '1'}.deb" for name, _, version in named]


def dpkg(root: Root, *arguments: str, status: int = 0) -> str:
    done = root.run(["dpkg", *arguments], check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def install(root: Root, *short: str) -> str:
    return dpkg(root, "--install", *packages(*short))


def installed(root: Root, name: str) -> bool:
    asked = root.run(["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}", NAMES[name]], check=False)
    return asked.stdout.startswith("ii")


def assert_consistent(root: Root) -> None:
    """What must hold whenever dpkg has finished."""
    assert dpkg(root, "--audit") == ""
    for name, package in NAMES.items():
        if installed(root, name):
            assert dpkg(root, "--verify", package) == ""
    target, spare = root.path(TARGET), root.path(f"{TARGET}.distrib")
    if not installed(root, "client"):
        assert not root.path(PREFIX).exists()
        return
    pristine = (spare if installed(root, "patch") else target).read_bytes()
    assert MARKER not in pristine
    if installed(root, "patch"):
        assert MARKER in target.read_bytes()
    else:
        assert not spare.exists()
        assert not root.path(f"{BYTECODE}.distrib").exists()
        assert root.run(["dpkg-divert", "--list", f"*{NAMES['patch']}*"]).stdout == ""
    # Bytecode is there and current: an interpreter that may not write loads it.
    current = (
        f"import importlib.util as u, os, struct; p = {TARGET!r}; s = os.stat(p);"
        "h = open(u.cache_from_source(p), 'rb').read(16);"
        "assert struct.unpack('<3I', h[4:]) == (0, int(s.st_mtime), s.st_size), h"
    )
    root.run(["python3", "-I", "-c", current])


def purge_everything(root: Root) -> None:
    dpkg(root, "--purge", *NAMES.values())
    assert_consistent(root)
    assert not root.path("/var/lib/cheesegrater").exists()
    left = root.run(["find", "/usr", "/etc", "/var", "-name", "*cheesegrater*", "-not", "-path", "/var/lib/dpkg/*"])
    assert left.stdout == ""


@pytest.mark.parametrize("order", list(itertools.permutations(["client", "patch", "app"])), ids="-".join)
def test_every_order_in_one_run(root: Root, order: tuple[str, ...]) -> None:
    install(root, *order)
    assert_consistent(root)
    purge_everything(root)


@pytest.mark.parametrize("order", [("client", "patch", "app"), ("patch", "client", "app")], ids="-".join)
def test_one_by_one_with_upgrades_and_back(root: Root, order: tuple[str, ...]) -> None:
    for name in order:
        install(root, name)
        assert_consistent(root)
    for step in (("patch=2",), ("client=2", "app=2"), ("app=2",), ("client=2",), ("patch=1",), ("app=1", "client=1")):
        install(root, *step)
        assert_consistent(root)
    assert b"NEWER" not in root.path(TARGET).read_bytes()
    purge_everything(root)


def test_unpack_first_configure_later_as_apt_does(root: Root) -> None:
    for version in ("1", "2"):
        names = [f"{name}={version}" for name in ("app", "client", "patch")]
        dpkg(root, "--no-triggers", "--unpack", *packages(*names))
        dpkg(root, "--configure", "--pending")
        assert_consistent(root)
    assert b"NEWER" in root.path(TARGET).read_bytes()


@pytest.mark.parametrize("action", ["--remove", "--purge"])
@pytest.mark.parametrize("first", ["client", "patch"])
def test_removed_in_either_order_and_installed_again(root: Root, first: str, action: str) -> None:
    install(root, "patch", "client")
    second = {"client": "patch", "patch": "client"}[first]
    for name in (first, second):
        dpkg(root, action, NAMES[name])
        assert_consistent(root)
    install(root, "client", "patch", "app")
    assert_consistent(root)
    purge_everything(root)


def test_removing_all_at_once_leaves_nothing(root: Root) -> None:
    install(root, "client", "patch", "app")
    dpkg(root, "--purge", NAMES["app"], NAMES["client"], NAMES["patch"])
    assert_consistent(root)


def test_a_file_that_cannot_be_patched_never_stops_dpkg(root: Root) -> None:
    install(root, "patch", "client=3")
    assert root.path(TARGET).read_bytes() == root.path(f"{TARGET}.distrib").read_bytes()
    asked = root.run([PROGRAM, "status"], check=False)
    assert asked.returncode == 1
    assert "there is no function" in asked.stderr
    install(root, "client=2")
    assert_consistent(root)
    assert root.run([PROGRAM, "status"]).stdout.startswith("patched")


def test_a_version_that_needs_no_patch_is_left_alone(root: Root) -> None:
    install(root, "patch", "client=4")
    assert root.path(TARGET).read_bytes() == root.path(f"{TARGET}.distrib").read_bytes()
    assert "unaffected" in root.run([PROGRAM, "status"]).stdout


def test_a_foreign_diversion_is_respected(root: Root) -> None:
    install(root, "client")
    root.run(["dpkg-divert", "--local", "--add", "--no-rename", "--divert", f"{TARGET}.mine", TARGET])
    output = dpkg(root, "--install", *packages("patch"), status=1)
    assert "already diverted by LOCAL" in output
    assert root.run(["dpkg-divert", "--list", f"*{NAMES['patch']}*"]).stdout == ""
    assert not root.path(f"{BYTECODE}.distrib").exists()


def test_without_python_the_pristine_file_is_used(root: Root) -> None:
    install(root, "client", "patch")
    root.path(PROGRAM).write_text("#!/nonexistent\n")
    install(root, "client=2")
    assert root.path(TARGET).read_bytes() == root.path(f"{TARGET}.distrib").read_bytes()


def test_the_scripts_are_clean(tmp_path: Path) -> None:
    for name in SCRIPTS:
        file = tmp_path / name
        file.write_text(render(f"patch/{name}.j2", **VALUES))
        subprocess.run(["sh", "-n", str(file)], check=True)
        subprocess.run(["shellcheck", "--shell=sh", str(file)], check=True)
