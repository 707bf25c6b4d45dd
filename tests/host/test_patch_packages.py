"""Patch packages under real dpkg in throwaway roots: every order of things (design: divert, interest-await)."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from debtool.build.image import RootImage
from debtool.stack.prove import list_files, verify_nothing_left
from tests.support.patch_packages import (
    PREFIX,
    SITE,
    WORDS_TEXT,
    Deb,
    distribution_files,
    gradio,
    patch_deb,
    patch_draft,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.build.root import Root

TARGET = f"{SITE}/gradio_client/utils.py"
BYTECODE = f"{SITE}/gradio_client/__pycache__/utils.cpython-311.pyc"
SYSTEM = "/usr/lib/python3/dist-packages"
NAMES = {
    "runtime": "acme-runtime",
    "client": "acme-python3-gradio-client",
    "patch": "acme-gradio-patch",
    "app": "acme-app",
    "words": "acme-python3-word-list",
    "wordspatch": "acme-words-patch",
    "foreign": "python3-gradio-client",
}
MARKER = b"acme-gradio-patch"
PROGRAM = "/usr/sbin/acme-gradio-patch"

pytestmark = pytest.mark.root


@pytest.fixture(scope="session")
def image(cache: Path) -> RootImage:
    return RootImage.ensure("bookworm", cache / "roots", packages=("python3-minimal", "python3"))


def client(version: str, upstream: str, text: bytes) -> Deb:
    files = {"gradio_client/utils.py": text, "gradio_client/__init__.py": b""}
    installed = distribution_files(SITE, "gradio_client", upstream, files)
    return Deb(NAMES["client"], version, installed, f"Depends: {NAMES['runtime']}\n", bytecode=(TARGET,))


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory, sample: bytes) -> Path:
    """client 1 and 2 (affected), 3 (rewritten: cannot be patched), 4 (needs no patch); 1 and 2 of everything else."""
    folder = tmp_path_factory.mktemp("debs")
    client("1", "1.2.0", sample).build(folder)
    client("2", "1.3.0", sample + b"\nNEWER = True\n").build(folder)
    client("3", "1.3.1", b"def get_type(schema): return 'x'\n").build(folder)
    client("4", "1.8.0", sample).build(folder)
    files = {"words/__init__.py": WORDS_TEXT}
    Deb(NAMES["words"], "1", distribution_files(SITE, "Word_List", "2.3", files)).build(folder)
    patch_deb(patch_draft(words(), "words-patch"), "1", folder)
    draft = patch_draft(gradio(), "gradio-patch")
    # The application refuses to be configured on unpatched code.
    check = f'#!/bin/sh\nset -e\n[ "$1" != configure ] || grep -q {MARKER.decode()} {TARGET}\n'
    for version in ("1", "2"):
        patch_deb(draft, version, folder)
        Deb(NAMES["runtime"], version, {f"{PREFIX}/venv/pyvenv.cfg": version.encode()}).build(folder)
        fields = f"Depends: {NAMES['client']} (= {version}), {NAMES['patch']}, {NAMES['runtime']}\n"
        Deb(NAMES["app"], version, {"/usr/share/app": b"x"}, fields, {"postinst": check}).build(folder)
        upstream = {"1": "1.2.0", "2": "1.3.0"}[version]
        files = {"gradio_client/utils.py": sample, "gradio_client/__init__.py": version.encode()}
        Deb(NAMES["foreign"], version, distribution_files(SYSTEM, "gradio_client", upstream, files)).build(folder)
    # The same patch for another Python: what an upgrade of the distribution brings.
    later = tmp_path_factory.mktemp("later")
    patch_deb(patch_draft(gradio(), "gradio-patch", python="3.12"), "3", later).rename(
        folder / f"{NAMES['patch']}_3.deb"
    )
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


def installed(root: Root) -> set[str]:
    asked = root.run(["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package}\n"]).stdout
    ready = {line.split()[1] for line in asked.splitlines() if line.startswith("ii")}
    return {short for short, name in NAMES.items() if name in ready}


def status(root: Root, program: str = PROGRAM) -> dict[str, Any]:
    """Return what the installed program says of each copy, by path."""
    said = root.run([program, "status", "--json"], check=False).stdout
    return {copy["path"]: copy for copy in json.loads(said)["copies"]}


def assert_consistent(root: Root) -> None:
    """What must hold whenever dpkg has finished."""
    assert dpkg(root, "--audit") == ""
    there = installed(root)
    assert dpkg(root, "--verify", *(NAMES[short] for short in there)) == ""
    target, spare = root.path(TARGET), root.path(f"{TARGET}.distrib")
    if "client" not in there:
        assert not root.path(f"{SITE}/gradio_client").exists()
        return
    pristine = (spare if "patch" in there else target).read_bytes()
    assert MARKER not in pristine
    if "patch" in there:
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
    assert_nothing_left(root)


def assert_nothing_left(root: Root) -> None:
    assert not root.path("/var/lib/acme").exists()
    assert not root.path(PREFIX).exists()
    left = root.run(["find", "/usr", "/etc", "/var", "-name", "*acme*", "-not", "-path", "/var/lib/dpkg/*"])
    assert left.stdout == ""


# --- Orders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(["runtime", "client", "patch", "app"])), ids="-".join)
def test_every_order_in_one_run(root: Root, order: tuple[str, ...]) -> None:
    install(root, *order)
    assert_consistent(root)
    dpkg(root, "--purge", *(NAMES[name] for name in reversed(order)))
    assert_consistent(root)
    assert_nothing_left(root)


@pytest.mark.parametrize(
    "order",
    [("runtime", "client", "patch"), ("runtime", "patch", "client"), ("patch", "runtime", "client")],
    ids="-".join,
)
def test_one_by_one(root: Root, order: tuple[str, ...]) -> None:
    before = list_files(root)
    for name in (*order, "app"):
        install(root, name)
        assert_consistent(root)
    # The application needs the others, and the client the runtime; what is left goes in every order over these cases.
    for name in ("app", *sorted(order, key=lambda name: (name == "runtime", order.index(name)))):
        dpkg(root, "--remove", NAMES[name])
        assert_consistent(root)
    for name in order:
        dpkg(root, "--purge", NAMES[name])
    dpkg(root, "--purge", NAMES["app"])
    verify_nothing_left(before, list_files(root))


def test_upgrades_downgrades_and_reinstallations_in_every_order(root: Root) -> None:
    install(root, "runtime", "client", "patch", "app")
    # dpkg breaks the application for a moment where its client is another than it asks for: they go together.
    groups = [("runtime",), ("client", "app"), ("patch",)]
    for order in itertools.permutations(groups):
        for version in ("2", "1"):
            for step in order:
                install(root, *(f"{name}={version}" for name in step))
                assert_consistent(root)
            assert (b"NEWER" in root.path(TARGET).read_bytes()) is (version == "2")
    for step in groups:
        install(root, *step)
        assert_consistent(root)
    purge_everything(root)


@pytest.mark.parametrize("order", list(itertools.permutations(["client", "patch", "app"])), ids="-".join)
def test_everything_at_once_up_and_down(root: Root, order: tuple[str, ...]) -> None:
    install(root, "runtime", "client", "patch", "app")
    for version in ("2", "1"):
        install(root, *(f"{name}={version}" for name in order), f"runtime={version}")
        assert_consistent(root)


def test_unpack_first_configure_later_as_apt_does(root: Root) -> None:
    for version in ("1", "2", "1"):
        names = [f"{name}={version}" for name in ("app", "client", "patch", "runtime")]
        dpkg(root, "--no-triggers", "--unpack", *packages(*names))
        dpkg(root, "--configure", "--pending")
        assert_consistent(root)
    purge_everything(root)


@pytest.mark.parametrize("action", ["--remove", "--purge"])
@pytest.mark.parametrize("first", ["client", "patch"])
def test_removed_in_either_order_and_installed_again(root: Root, first: str, action: str) -> None:
    install(root, "runtime", "patch", "client")
    second = {"client": "patch", "patch": "client"}[first]
    for name in (first, second):
        dpkg(root, action, NAMES[name])
        assert_consistent(root)
    install(root, "client", "patch", "app")
    assert_consistent(root)
    purge_everything(root)


# --- What stands in the way ---------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_patched_never_stops_dpkg(root: Root) -> None:
    install(root, "runtime", "patch", "client=3")
    assert root.path(TARGET).read_bytes() == root.path(f"{TARGET}.distrib").read_bytes()
    asked = root.run([PROGRAM, "status"], check=False)
    assert asked.returncode == 1
    assert "there is no function" in asked.stderr
    install(root, "client=2")
    assert_consistent(root)
    assert root.run([PROGRAM, "status"]).stdout.startswith("patched")


def test_a_version_that_needs_no_patch_is_left_alone(root: Root) -> None:
    install(root, "runtime", "patch", "client=4")
    assert root.path(TARGET).read_bytes() == root.path(f"{TARGET}.distrib").read_bytes()
    assert status(root)[TARGET]["state"] == "unaffected"


def test_a_foreign_diversion_is_respected(root: Root) -> None:
    install(root, "runtime", "client")
    root.run(["dpkg-divert", "--local", "--add", "--rename", "--divert", f"{TARGET}.distrib", TARGET])
    mine = root.path(f"{TARGET}.distrib").read_bytes()
    output = dpkg(root, "--install", *packages("patch"), status=1)
    assert "already diverted by LOCAL" in output
    assert root.run(["dpkg-divert", "--list", f"*{NAMES['patch']}*"]).stdout == ""
    assert not root.path(f"{BYTECODE}.distrib").exists()
    assert root.path(f"{TARGET}.distrib").read_bytes() == mine


def test_without_python_the_pristine_file_is_used(root: Root) -> None:
    install(root, "runtime", "client", "patch")
    root.path(PROGRAM).write_text("#!/nonexistent\n")
    install(root, "client=2")
    assert root.path(TARGET).read_bytes() == root.path(f"{TARGET}.distrib").read_bytes()


def test_another_python_takes_the_old_diversions_along(root: Root) -> None:
    install(root, "runtime", "client", "patch")
    install(root, "patch=3")
    assert "python3.11" not in root.run(["dpkg-divert", "--list", f"*{NAMES['patch']}*"]).stdout
    assert MARKER not in root.path(TARGET).read_bytes()
    assert not root.path(f"{TARGET}.distrib").exists()
    assert dpkg(root, "--verify", NAMES["client"]) == ""
    install(root, "patch=1")
    assert_consistent(root)
    purge_everything(root)


# --- Others beside it ---------------------------------------------------------------------------------------------


def test_a_second_patch_package_beside_the_first(root: Root) -> None:
    words_file = f"{SITE}/words/__init__.py"
    install(root, "wordspatch", "patch", "runtime", "client", "words")
    assert_consistent(root)
    told = status(root, "/usr/sbin/acme-words-patch")
    assert {path: copy["state"] for path, copy in told.items()} == {words_file: "patched"}
    asked = f"import sys; sys.path.insert(0, {SITE!r}); import words; print(words.first([]), words.first(['a']))"
    assert root.run(["python3", "-I", "-c", asked]).stdout == "None a\n"
    dpkg(root, "--purge", NAMES["patch"])
    assert_consistent(root)
    assert status(root, "/usr/sbin/acme-words-patch")[words_file]["state"] == "patched"
    dpkg(root, "--purge", NAMES["wordspatch"])
    assert root.path(words_file).read_bytes() == WORDS_TEXT
    assert dpkg(root, "--verify", NAMES["words"]) == ""
    purge_everything(root)


@pytest.mark.parametrize("order", [("patch", "foreign"), ("foreign", "patch")], ids="-".join)
def test_a_copy_of_another_package_is_patched_and_given_back(root: Root, order: tuple[str, ...]) -> None:
    file = root.path(f"{SYSTEM}/gradio_client/utils.py")
    for name in order:
        install(root, name)
    pristine = [line for line in file.read_bytes().splitlines() if MARKER not in line]
    assert len(pristine) == len(file.read_bytes().splitlines()) - 5
    assert status(root)[f"{SYSTEM}/gradio_client/utils.py"]["state"] == "patched"
    install(root, "foreign=2")
    assert MARKER in file.read_bytes()
    dpkg(root, "--remove", NAMES["patch"])
    assert dpkg(root, "--verify", NAMES["foreign"]) == ""
    dpkg(root, "--purge", NAMES["foreign"], NAMES["patch"])
    assert not file.parent.exists()
    assert_nothing_left(root)


# --- Units --------------------------------------------------------------------------------------------------------


def links(root: Root) -> list[str]:
    found = root.run(["find", "/etc/systemd", "-name", "acme-*", "-printf", "%p -> %l\n"]).stdout
    return sorted(found.splitlines())


def test_the_units_are_enabled_for_the_system_and_for_every_user(root: Root) -> None:
    install(root, "patch")
    names = {
        "system/multi-user.target.wants": "/lib/systemd/system/acme-gradio-patch.path",
        "user/default.target.wants": "/lib/systemd/user/acme-gradio-patch.path",
    }
    enabled = [f"/etc/systemd/{wants}/acme-gradio-patch.path -> {unit}" for wants, unit in names.items()]
    assert links(root) == enabled
    # What the administrator has disabled stays so, over upgrades and reinstallations.
    root.run(["rm", *(link.partition(" ")[0] for link in enabled)])
    install(root, "patch=2")
    assert links(root) == []
    dpkg(root, "--purge", NAMES["patch"])
    install(root, "patch")
    assert links(root) == enabled
    purge_everything(root)
    assert links(root) == []


def test_the_program_is_compiled_and_its_bytecode_goes_with_it(root: Root) -> None:
    install(root, "patch")
    share = root.path("/usr/share/acme-gradio-patch")
    assert sorted(path.name for path in (share / "patcher/__pycache__").glob("main.*")) == ["main.cpython-311.pyc"]
    install(root, "patch=2")
    dpkg(root, "--remove", NAMES["patch"])
    assert not share.exists()
