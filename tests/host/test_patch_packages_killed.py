"""The maintainer scripts of a patch package, killed before each of their commands: what is left can be gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.build.image import RootImage
from debtool.build.root import CLEAN_ENVIRONMENT
from tests.support.patch_packages import PREFIX, SITE, Deb, distribution_files, gradio, patch_deb, patch_draft

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.build.root import Root

TARGET = f"{SITE}/gradio_client/utils.py"
CLIENT, PATCH = "acme-python3-gradio-client", "acme-gradio-patch"
# What changes something, and what decides whether to.
COMMANDS = ("cp", "dpkg-divert", "mv", "python3", "rm", "sync")
# Stands in for a command: kills the maintainer script that calls it, when it is the call whose turn it is.
WRAPPER = """\
#!/bin/sh
if /bin/grep -qa /var/lib/dpkg/ "/proc/$PPID/cmdline"; then
    count=$(($(/bin/cat /count) + 1))
    echo "$count" > /count
    if [ "$count" = "$(/bin/cat /kill-at)" ]; then
        kill -9 "$PPID"
        exit 1
    fi
fi
exec {command} "$@"
"""

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def root(cache: Path, tmp_path: Path, sample: bytes) -> Iterator[Root]:
    """A root with the client, and the wrappers in /wrap."""
    image = RootImage.ensure("bookworm", cache / "roots", packages=("python3-minimal", "python3"))
    files = {"gradio_client/utils.py": sample, "gradio_client/__init__.py": b""}
    installed = distribution_files(SITE, "gradio_client", "1.2.0", files)
    Deb(CLIENT, "1", installed, bytecode=(TARGET,)).build(tmp_path)
    patch_deb(patch_draft(gradio(), "gradio-patch"), "1", tmp_path)
    with image.instance() as root:
        for deb in tmp_path.glob("*.deb"):
            root.copy_in(deb, f"/{deb.name}")
        root.path("/wrap").mkdir()
        for name in COMMANDS:
            command = root.run(["sh", "-c", f"command -v {name}"]).stdout.strip()
            root.path(f"/wrap/{name}").write_text(WRAPPER.format(command=command))
            root.path(f"/wrap/{name}").chmod(0o755)
        root.run(["dpkg", "--install", f"/{CLIENT}_1.deb"])
        yield root


def killed(root: Root, number: int, *arguments: str) -> bool:
    """Run dpkg with its ``number``-th call killed; say whether there was such a call."""
    root.path("/count").write_text("0\n")
    root.path("/kill-at").write_text(f"{number}\n")
    path = f"/wrap:{CLEAN_ENVIRONMENT['PATH']}"
    root.run(["dpkg", *arguments], check=False, environment={**CLEAN_ENVIRONMENT, "PATH": path})
    return int(root.path("/count").read_text()) >= number


def assert_usable(root: Root, sample: bytes) -> None:
    """The file is there at every moment: as its package has it, or patched."""
    text = root.path(TARGET).read_bytes()
    assert [line for line in text.splitlines() if b"acme-gradio-patch" not in line][:4] == sample.splitlines()[:4]
    compile(text, "utils.py", "exec")


def assert_pristine(root: Root, sample: bytes) -> None:
    """Nothing of the patch package is left."""
    assert root.path(TARGET).read_bytes() == sample
    assert root.run(["dpkg", "--verify"]).stdout == ""
    assert root.run(["dpkg", "--audit"]).stdout == ""
    left = root.run(["find", "/usr", "/etc", "/var", "-name", "*acme*", "-not", "-path", "/var/lib/dpkg/*"]).stdout
    assert left == f"{PREFIX}\n"
    assert root.run(["find", SITE, "-name", "*.distrib*", "-o", "-name", "*.new"]).stdout == ""
    assert "acme" not in root.run(["dpkg-divert", "--list"]).stdout


def test_an_installation_that_was_killed_is_finished_or_taken_back(root: Root, sample: bytes) -> None:
    number = 1
    while killed(root, number, "--install", f"/{PATCH}_1.deb"):
        assert_usable(root, sample)
        # In turn: once more, and away with it.
        if number % 2:
            root.run(["dpkg", "--install", f"/{PATCH}_1.deb"])
            assert root.path(TARGET).read_bytes().count(b"acme-gradio-patch") == 5
            assert root.run(["dpkg", "--verify"]).stdout == ""
        root.run(["dpkg", "--purge", PATCH])
        assert_pristine(root, sample)
        number += 1
    assert number > 10


def test_a_removal_that_was_killed_is_finished_by_the_next(root: Root, sample: bytes) -> None:
    number = 1
    root.run(["dpkg", "--install", f"/{PATCH}_1.deb"])
    while killed(root, number, "--purge", PATCH):
        assert_usable(root, sample)
        root.run(["dpkg", "--purge", PATCH])
        assert_pristine(root, sample)
        root.run(["dpkg", "--install", f"/{PATCH}_1.deb"])
        number += 1
    assert number > 10
