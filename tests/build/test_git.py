from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.build.checkout import checkout, restore, state_of
from debtool.build.git import is_commit, is_ref
from debtool.model.errors import InputError, OutsideError
from tests.support.sources import (
    FILES,
    Killed,
    Runner,
    commit,
    configure_git,
    git,
    make_upstream,
    write_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return configure_git(tmp_path, monkeypatch)


@pytest.fixture
def upstream(tmp_path: Path, config: Path) -> str:
    assert config.is_file()
    return make_upstream(tmp_path)


def is_whole(tree: Path) -> bool:
    outer = tree / "third_party/outer"
    files = [outer / "CMakeLists.txt", outer / "third_party/inner/CMakeLists.txt"]
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tree, capture_output=True, text=True, check=False)
    return (
        (tree / "CMakeLists.txt").read_text() == FILES["CMakeLists.txt"]
        and [file.read_text() for file in files if file.exists()] == ["outer", "inner"]
        and (status.returncode, status.stdout) == (0, "")
    )


def test_a_tag_with_its_submodules_and_without_history(upstream: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    found = checkout(upstream, "v2.6.0", tree, Runner())
    assert found.commit == git(tmp_path / "pytorch", "rev-parse", "v2.6.0")
    assert found.signer is None
    assert is_whole(tree)
    assert git(tree, "rev-list", "--count", "HEAD") == "1"


def test_a_commit_that_no_tag_names(upstream: str, tmp_path: Path) -> None:
    wanted = git(tmp_path / "pytorch", "rev-parse", "v2.6.0")
    git(tmp_path / "pytorch", "tag", "--delete", "v2.6.0")
    assert checkout(upstream, wanted, tmp_path / "tree", Runner()).commit == wanted
    assert is_whole(tmp_path / "tree")


def test_a_server_that_gives_only_what_it_offers_by_name(upstream: str, tmp_path: Path, config: Path) -> None:
    git(tmp_path, "config", "--file", str(config), "protocol.version", "0")
    wanted = git(tmp_path / "pytorch", "rev-parse", "v2.6.0")
    git(tmp_path / "pytorch", "tag", "--delete", "v2.6.0")
    run = Runner()
    assert checkout(upstream, wanted, tmp_path / "tree", run).commit == wanted
    once = ["submodule", "fetch"]  # for each of the two, one of which is found in the other
    assert run.words() == ["fetch", "fetch", "checkout", *once, *once, "submodule"]
    assert is_whole(tmp_path / "tree")


def test_an_annotated_tag_is_the_commit_that_it_names(upstream: str, tmp_path: Path) -> None:
    pytorch = tmp_path / "pytorch"
    git(pytorch, "tag", "--annotate", "--message=release", "v2.6.0-final", "v2.6.0")
    wanted = git(pytorch, "rev-parse", "v2.6.0")
    assert checkout(upstream, "v2.6.0-final", tmp_path / "tree", Runner(), expected=wanted).commit == wanted


def test_another_commit_than_expected_is_refused_before_anything_is_fetched(upstream: str, tmp_path: Path) -> None:
    found, run = git(tmp_path / "pytorch", "rev-parse", "v2.6.0"), Runner()
    with pytest.raises(InputError) as caught:
        checkout(upstream, "v2.6.0", tmp_path / "tree", run, expected="1" * 40)
    assert caught.value.issues[0].problem == (f"v2.6.0 of {upstream} is commit {found}, but {'1' * 40} is expected")
    assert run.commands == []


def test_a_tag_that_moved_between_two_calls_is_refused(upstream: str, tmp_path: Path) -> None:
    checkout(upstream, "v2.6.0", tmp_path / "tree", Runner())
    with pytest.raises(InputError, match="is expected"):
        checkout(upstream, "v2.6.0", tmp_path / "tree", Runner(), expected="1" * 40)


def test_no_such_tag(upstream: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no tag v9; fix: name a tag, or a commit with all its digits"):
        checkout(upstream, "v9", tmp_path / "tree", Runner())


def test_a_repository_that_cannot_be_reached_names_the_ways_out(upstream: str, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "pytorch")
    with pytest.raises(OutsideError) as caught:
        checkout(upstream, "v2.6.0", tmp_path / "tree", Runner())
    assert "--source DIR" in caught.value.issues[0].fix
    assert f"url.MIRROR.insteadOf {tmp_path.as_uri()}/" in caught.value.issues[0].fix


def test_a_submodule_that_cannot_be_reached_and_then_can(upstream: str, tmp_path: Path) -> None:
    (tmp_path / "inner").rename(tmp_path / "away")
    with pytest.raises(OutsideError) as caught:
        checkout(upstream, "v2.6.0", tmp_path / "tree", Runner())
    assert "--source DIR" in caught.value.issues[0].fix
    (tmp_path / "away").rename(tmp_path / "inner")
    run = Runner()
    checkout(upstream, "v2.6.0", tmp_path / "tree", run)
    assert run.words() == ["checkout", "submodule"]
    assert is_whole(tmp_path / "tree")


def test_a_mirror_by_gits_own_configuration(upstream: str, tmp_path: Path, config: Path) -> None:
    git(tmp_path, "config", "--file", str(config), f"url.{tmp_path.as_uri()}/.insteadOf", "https://example.invalid/")
    assert upstream.endswith("/pytorch")
    checkout("https://example.invalid/pytorch", "v2.6.0", tmp_path / "tree", Runner())
    assert is_whole(tmp_path / "tree")


@pytest.mark.parametrize("kill_at", [0, 1, 2])
def test_a_call_that_ended_between_two_commands_is_gone_on_with(upstream: str, tmp_path: Path, kill_at: int) -> None:
    with pytest.raises(Killed):
        checkout(upstream, "v2.6.0", tmp_path / "tree", Runner(kill_at))
    run = Runner()
    checkout(upstream, "v2.6.0", tmp_path / "tree", run)
    assert run.words() == ["fetch", "checkout", "submodule"][1 if kill_at else 0 :]
    assert is_whole(tmp_path / "tree")


def torn_clone(tree: Path) -> None:
    """A submodule whose clone was killed while it fetched."""
    module = tree / ".git/modules/third_party/deps/outer"
    shutil.rmtree(module)
    git(tree, "init", "--quiet", "--bare", str(module))
    write_files(tree / "third_party/outer", {".git": f"gitdir: {module}\n", "left": "over"})


def very_torn_clone(tree: Path) -> None:
    """A submodule whose clone was killed when its folder had just been made, a nested one."""
    module = tree / ".git/modules/third_party/deps/outer/modules/third_party/inner"
    shutil.rmtree(module)
    (module / "hooks").mkdir(parents=True)
    shutil.rmtree(tree / "third_party/outer/third_party/inner")


def not_checked_out(tree: Path) -> None:
    """A submodule that was cloned, whose HEAD is right, and that has no files: killed before its checkout."""
    for path in (tree / "third_party/outer").iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tree / ".git/modules/third_party/deps/outer/index").unlink()


def locked(tree: Path) -> None:
    """Locks and a pack that a git which was killed has left."""
    names = ("index.lock", "shallow.lock", "config.lock", "modules/third_party/deps/outer/index.lock")
    write_files(tree / ".git", {**dict.fromkeys(names, ""), "objects/pack/tmp_pack_x": "torn"})


def half_written(tree: Path) -> None:
    """A checkout that was killed: a file is cut, another is missing, and the index was not written."""
    (tree / "setup.py").write_text("# s")
    (tree / "version.txt").unlink()
    (tree / ".git/index").unlink()


@pytest.mark.parametrize("damage", [torn_clone, very_torn_clone, not_checked_out, locked, half_written])
def test_what_a_killed_git_leaves_is_mended(upstream: str, tmp_path: Path, damage: object) -> None:
    tree = tmp_path / "tree"
    checkout(upstream, "v2.6.0", tree, Runner())
    assert callable(damage)
    damage(tree)
    assert not is_whole(tree) or damage is locked
    checkout(upstream, "v2.6.0", tree, Runner())
    assert is_whole(tree)
    assert not list((tree / ".git").rglob("tmp_pack*"))


SCRIPT = """\
import sys
from pathlib import Path
from debtool.build.checkout import checkout
from tests.support.sources import Runner
checkout(sys.argv[1], "v2.6.0", Path(sys.argv[2]), Runner())
"""


@pytest.mark.slow
def test_killed_at_any_moment(upstream: str, tmp_path: Path) -> None:
    """The time that a call takes is cut into steps; at each, three calls in one tree and their gits are killed (-9)."""
    command = [sys.executable, "-c", SCRIPT, upstream]
    begun = time.monotonic()
    subprocess.run([*command, str(tmp_path / "first")], check=True)
    whole = time.monotonic() - begun
    for step in range(12):
        tree = tmp_path / f"tree{step}"
        for again in range(3):
            process = subprocess.Popen([*command, str(tree)], start_new_session=True)
            time.sleep(whole * (step + again / 3) / 12)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        subprocess.run([*command, str(tree)], check=True)
        assert is_whole(tree)


def test_a_tree_is_made_untouched_again(upstream: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    checkout(upstream, "v2.6.0", tree, Runner())
    outer = tree / "third_party/outer"
    write_files(tree, {"setup.py": "changed", "new.txt": "new", "build/a.o": "ignored", "c10/hip/impl/b.h": "ignored"})
    write_files(outer, {"CMakeLists.txt": "changed", "new/new.txt": "new", "third_party/inner/CMakeLists.txt": "x"})
    (outer / "LICENSE").unlink()
    write_files(tree / ".git", {"index.lock": ""})
    restore(tree, Runner())
    assert is_whole(tree)
    assert not any((tree / name).exists() for name in ("new.txt", "build", "c10/hip/impl"))
    assert not (outer / "new").exists()
    shutil.rmtree(outer)
    restore(tree, Runner())
    assert is_whole(tree)


def test_the_state_of_somebodys_tree(upstream: str, tmp_path: Path) -> None:
    tree = tmp_path / "pytorch"
    assert upstream.endswith("/pytorch")
    head = git(tree, "rev-parse", "HEAD")
    index = (tree / ".git/index").stat().st_mtime_ns
    os.utime(tree / "setup.py", (1, 1))  # git status would write this into its index
    assert state_of(tree) == (head, True)
    assert (tree / ".git/index").stat().st_mtime_ns == index
    (tree / "setup.py").write_text("changed")
    assert state_of(tree) == (head, False)
    assert state_of(write_files(tmp_path / "plain", FILES)) is None
    assert state_of(write_files(tmp_path / "submodule", {".git": "gitdir: ../nowhere\n"})) is None


def test_names_of_tags_and_commits() -> None:
    assert is_commit("a" * 40)
    assert not is_commit("a" * 39)
    assert [ref for ref in ("v2.7.1", "ciflow/trunk/1", "a" * 40, "v2.7.1-rc1") if not is_ref(ref)] == []
    assert [ref for ref in ("", "-x", "a..b", "a b", "a*", "a^{}", "a/", "x.lock", "@", "a:b") if is_ref(ref)] == []


@pytest.fixture
def gpg(config: Path) -> Iterator[Path]:
    """A GnuPG home, whose path is short enough for its agent's sockets, with one key."""
    assert config.is_file()
    with tempfile.TemporaryDirectory(prefix="gpg-") as name:
        command = ["gpg", "--homedir", name, "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase="]
        who = "Release <release@example.invalid>"
        subprocess.run([*command, "--quick-generate-key", who, "ed25519", "sign", "never"], check=True)
        yield Path(name)
        subprocess.run(["gpgconf", "--homedir", name, "--kill", "gpg-agent"], check=True)
        while list(Path(name).glob("S.gpg-agent*")):
            time.sleep(0.01)


def sign(pytorch: Path, home: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("GNUPGHOME", str(home))
        for name in names:
            git(
                pytorch,
                "tag",
                "--force",
                "--local-user=release@example.invalid",
                "--message=release",
                name,
                "v2.6.0^{}",
            )


@pytest.mark.parametrize("armor", [["--armor"], []])
def test_a_signed_tag(
    upstream: str, gpg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, armor: list[str]
) -> None:
    sign(tmp_path / "pytorch", gpg, monkeypatch, "v2.6.0")
    keyring = tmp_path / "keyring"
    keyring.write_bytes(subprocess.check_output(["gpg", "--homedir", gpg, *armor, "--export"]))
    found = checkout(upstream, "v2.6.0", tmp_path / "tree", Runner(), keyring=keyring)
    listing = subprocess.check_output(["gpg", "--homedir", gpg, "--with-colons", "--list-keys"], text=True)
    assert found.signer is not None
    assert f"fpr:::::::::{found.signer}:" in listing
    assert found.commit == git(tmp_path / "pytorch", "rev-parse", "v2.6.0^{}")
    assert is_whole(tmp_path / "tree")


def test_signatures_that_prove_nothing(
    upstream: str, gpg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytorch, keyring, other = tmp_path / "pytorch", tmp_path / "keyring", tmp_path / "other"
    sign(pytorch, gpg, monkeypatch, "v2.6.0", "v2.5.0")
    keyring.write_bytes(subprocess.check_output(["gpg", "--homedir", gpg, "--export"]))
    # The signed tag of another release, offered as this one.
    git(pytorch, "update-ref", "refs/tags/v2.7.0", git(pytorch, "rev-parse", "refs/tags/v2.5.0"))
    with pytest.raises(
        InputError, match=r"signature of tag v2\.7\.0 is not by a key of this keyring, or is of another"
    ):
        checkout(upstream, "v2.7.0", tmp_path / "seven", Runner(), keyring=keyring)
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        command = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase="]
        subprocess.run([*command, "--quick-generate-key", "Other <o@example.invalid>", "ed25519"], check=True)
        other.write_bytes(subprocess.check_output(["gpg", "--homedir", home, "--export"]))
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=True)
        while list(Path(home).glob("S.gpg-agent*")):
            time.sleep(0.01)
    with pytest.raises(InputError, match="is not by a key of this keyring"):
        checkout(upstream, "v2.6.0", tmp_path / "six", Runner(), keyring=other)
    other.write_text("no keys")
    with pytest.raises(InputError, match=r"cannot be read as a keyring: .*; fix: export one"):
        checkout(upstream, "v2.6.0", tmp_path / "six", Runner(), keyring=other)
    # A tag without a signature is told as such: whoever asks has the commit to go by, or refuses.
    git(pytorch, "tag", "--annotate", "--message=x", "v2.6.1", "v2.6.0^{}")
    assert checkout(upstream, "v2.6.1", tmp_path / "plain", Runner(), keyring=keyring).signer is None


def test_hooks_and_line_ends_of_the_user_do_not_reach_the_tree(upstream: str, tmp_path: Path, config: Path) -> None:
    hooks = write_files(tmp_path / "hooks", {"post-checkout": f"#!/bin/sh\ntouch {tmp_path}/ran\n"})
    (hooks / "post-checkout").chmod(0o755)
    git(tmp_path, "config", "--file", str(config), "core.hooksPath", str(hooks))
    git(tmp_path, "config", "--file", str(config), "core.autocrlf", "true")
    checkout(upstream, "v2.6.0", tmp_path / "tree", Runner())
    assert b"\r" not in (tmp_path / "tree/CMakeLists.txt").read_bytes()
    assert not (tmp_path / "ran").exists()


def test_a_newer_submodule_is_not_taken(upstream: str, tmp_path: Path) -> None:
    assert git(tmp_path / "outer", "show", "HEAD:CMakeLists.txt") == "newer"
    checkout(upstream, "v2.6.0", tmp_path / "tree", Runner())
    assert commit(write_files(tmp_path / "outer", {"CMakeLists.txt": "newest"}))
    assert (tmp_path / "tree/third_party/outer/CMakeLists.txt").read_text() == "outer"
