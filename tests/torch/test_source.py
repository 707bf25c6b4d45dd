from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, strategies
from hypothesis import given as given_text
from packaging.version import Version

from debtool.build import debian_source
from debtool.model.errors import InputError, OutsideError
from debtool.torch import origin, releases
from debtool.torch.origin import DebianOrigin, GitOrigin, TreeOrigin
from debtool.torch.source import Prepared, SourceChoice, parse_source, prepare
from tests.support.sources import (
    BUILD_AMD,
    CHANGE,
    CHANGE_AGAIN,
    FILES,
    Killed,
    Runner,
    commit,
    configure_git,
    git,
    make_series,
    make_upstream,
    write_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = Version("2.6.0")
PYTHON = Path(sys.executable)
SUBMODULES = {"third_party/outer/LICENSE": "", ".gitmodules": "\tpath = third_party/outer\n"}
DEBIAN = {
    "version.txt": "2.6.0\n",
    "debian/control": "Source: pytorch\nSection: science\n",
    "debian/patches/series": "a.patch\n",
    ".pc/applied-patches": "a.patch\n",
    "torch/csrc/jit/serialization/mobile_bytecode.fbs": "",
    "torch/csrc/jit/serialization/mobile_bytecode_generated.h": "old",
}


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    configure_git(tmp_path, monkeypatch)
    return make_upstream(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_files(tmp_path / "given", {**FILES, **SUBMODULES})


def ready(
    choice: SourceChoice, tmp_path: Path, *, rocm: bool = False, run: Runner | None = None
) -> tuple[Prepared, list[str]]:
    """Prepare in one folder; return what it gives and what it ran."""
    run = run or Runner()
    return prepare(choice, tmp_path / "build", rocm=rocm, interpreter=PYTHON, run=run), run.words()


def contents(tree: Path) -> dict[str, bytes | str]:
    files = [path for path in sorted(tree.rglob("*")) if ".git" not in path.relative_to(tree).parts]
    return {
        str(path.relative_to(tree)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in files
        if path.is_symlink() or path.is_file()
    }


# --- what a user writes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, GitOrigin(origin.UPSTREAM, "v2.6.0", "1eba9b3aa3c43f86f4a2c807ac8e12c4a7767340")),
        ("https://mirror.example/pytorch@v2.6.0", ("https://mirror.example/pytorch", "v2.6.0", True)),
        ("https://me@mirror.example/pytorch@v2.6.0", ("https://me@mirror.example/pytorch", "v2.6.0", True)),
        ("git@mirror.example:torch/pytorch.git@v2.5.1", ("git@mirror.example:torch/pytorch.git", "v2.5.1", False)),
        ("file:///srv/pytorch@" + "a" * 40, ("file:///srv/pytorch", "a" * 40, False)),
        ("debian:trixie", DebianOrigin("trixie", "pytorch")),
        ("debian:sid/pytorch-cuda", DebianOrigin("sid", "pytorch-cuda")),
    ],
)
def test_sources_that_can_be_named(text: str | None, expected: object) -> None:
    found = parse_source(text, Version("2.6.0+rocm6.3.noavx")).origin
    if isinstance(expected, tuple):
        assert isinstance(found, GitOrigin)
        assert (found.repository, found.ref, found.pinned is not None) == expected
    else:
        assert found == expected


def test_folders_and_repositories_in_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "at@home").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_source("at@home", VERSION).origin == TreeOrigin(tmp_path / "at@home")
    found = parse_source("at@home@v2.6.0", VERSION).origin
    assert isinstance(found, GitOrigin)
    assert found.repository == str(tmp_path / "at@home")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no/such/folder", "there is no such folder: no/such/folder"),
        ("no/such@v2.6.0", "there is no such folder"),
        ("https://mirror.example/pytorch", r"needs the tag or the commit.*fix: add it: \S+/pytorch@v2\.6\.0"),
        (
            "git@mirror.example:pytorch",
            r"needs the tag or the commit.*fix: add it: git@mirror\.example:pytorch@v2\.6\.0",
        ),
        ("https://mirror.example/pytorch@--upload-pack=x", "needs the tag or the commit"),
        ("https://mirror.example/pytorch@a..b", "needs the tag or the commit"),
        ("debian:", "names no source"),
        ("debian:trixie/", "names no source"),
        ("debian:tri xie", "names no source"),
        ("--upload-pack=x@y:z@v1", "names no source"),
    ],
)
def test_what_names_no_source(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        parse_source(text, VERSION)
    assert caught.value.issues[0].field == "--source"


@given_text(strategies.text() | strategies.from_regex(r"[a-z]*(://|@|:)[a-z@/.:-]*", fullmatch=True))
@example("x" * 300)
@example("x" * 300 + "@v1")
@example("\0@v1")
def test_whatever_is_written_names_a_source_or_is_refused(text: str) -> None:
    try:
        found = parse_source(text, VERSION).origin
    except InputError:
        return
    if isinstance(found, GitOrigin):
        assert not found.repository.startswith("-")
        assert not found.ref.startswith("-")


def test_a_keyring_that_is_of_no_use(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(InputError, match="there is no such keyring"):
        parse_source(None, VERSION, keyring=tmp_path / "none")
    for text in (str(tree), "debian:trixie"):
        with pytest.raises(InputError, match="only a tag of a git repository has a signature"):
            parse_source(text, VERSION, keyring=tree / "setup.py")


# --- git ----------------------------------------------------------------------------------------------------------


def test_a_tag_is_fetched_once(upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = git(tmp_path / "pytorch", "rev-parse", "v2.6.0")
    known = releases.Release(version="2.6.0", commit=wanted, vision="0.21.0")
    monkeypatch.setattr("debtool.torch.source.find_release", lambda _version: known)
    choice = parse_source(f"{upstream}@v2.6.0", VERSION)
    prepared, done = ready(choice, tmp_path)
    assert done == ["fetch", "checkout", "submodule"]
    assert (prepared.tree, prepared.version, prepared.flavour) == (tmp_path / "build/source", VERSION, "upstream")
    assert (prepared.commit, prepared.digest, prepared.steps) == (wanted, f"git:{wanted}", ())
    assert prepared.verified == f"tag v2.6.0 is the commit known of PyTorch 2.6.0, {wanted}"
    shutil.rmtree(tmp_path / "pytorch")  # nothing is asked of it again
    assert ready(choice, tmp_path) == (prepared, [])


def test_a_tag_that_is_not_pinned_is_told_as_such(upstream: str, tmp_path: Path) -> None:
    git(tmp_path / "pytorch", "tag", "mine", "v2.6.0")
    wanted = git(tmp_path / "pytorch", "rev-parse", "mine")
    prepared, _ = ready(parse_source(f"{upstream}@mine", VERSION), tmp_path)
    assert prepared.verified.startswith(f"not verified: tag mine is commit {wanted}")
    prepared, _ = ready(parse_source(f"{upstream}@{wanted}", VERSION), tmp_path)
    assert prepared.verified == f"it is the commit that was asked for, {wanted}"


def test_a_tag_that_is_not_the_known_commit(upstream: str, tmp_path: Path) -> None:
    found = git(tmp_path / "pytorch", "rev-parse", "v2.6.0")
    with pytest.raises(
        InputError, match=rf"is commit {found}, but 1eba9b3aa3c43f86f4a2c807ac8e12c4a7767340 is expected"
    ):
        ready(parse_source(f"{upstream}@v2.6.0", VERSION), tmp_path)


def test_a_keyring_and_neither_signature_nor_pin(upstream: str, tmp_path: Path) -> None:
    git(tmp_path / "pytorch", "tag", "mine", "v2.6.0")
    choice = parse_source(f"{upstream}@mine", VERSION, keyring=tmp_path / "gitconfig")
    with pytest.raises(InputError, match=r"tag mine has no signature, and its commit \w+ is not pinned"):
        ready(choice, tmp_path)


def test_another_source_replaces_the_tree(upstream: str, tmp_path: Path, tree: Path) -> None:
    choice = pinned(upstream, tmp_path)
    ready(choice, tmp_path)
    write_files(tmp_path / "build/source", {"build/left.o": ""})
    prepared, _ = ready(parse_source(str(tree), VERSION), tmp_path)
    assert contents(prepared.tree) == contents(tree)
    prepared, done = ready(choice, tmp_path)
    assert done == ["fetch", "checkout", "submodule"]
    assert (prepared.tree / "third_party/outer/third_party/inner/CMakeLists.txt").is_file()


def pinned(upstream: str, tmp_path: Path, patches: Path | None = None) -> SourceChoice:
    wanted = git(tmp_path / "pytorch", "rev-parse", "v2.6.0")
    return parse_source(f"{upstream}@{wanted}", VERSION, patches=patches)


# --- patches and hipify -------------------------------------------------------------------------------------------


def test_patches_and_hipify_are_done_once(upstream: str, tmp_path: Path) -> None:
    choice = pinned(upstream, tmp_path, make_series(tmp_path / "series", one=CHANGE, two=CHANGE_AGAIN))
    prepared, done = ready(choice, tmp_path, rocm=True)
    assert done[3:] == [sys.executable]
    assert "2.6.0+again" in (prepared.tree / "tools/generate_torch_version.py").read_text()
    assert (prepared.tree / "torch/csrc/cuda/Module.cpp").read_text() == '#include "hip/cuda/driver_types.h"\n'
    assert prepared.steps == ("2 changes of the series series", "rewritten for ROCm (hipify)")
    assert prepared.digest.startswith(f"git:{prepared.commit}+series:")
    assert prepared.digest.endswith("+hipify")
    write_files(prepared.tree, {"build/a.o": "compiled"})
    assert ready(choice, tmp_path, rocm=True) == (prepared, [])
    assert (prepared.tree / "build/a.o").exists()


def test_a_changed_series_starts_from_an_untouched_tree(upstream: str, tmp_path: Path, tree: Path) -> None:
    for number, make in enumerate([lambda patches: pinned(upstream, tmp_path, patches), given(tree)]):
        series = make_series(tmp_path / f"series{number}", one=CHANGE)
        first, _ = ready(make(series), tmp_path, rocm=True)
        write_files(first.tree, {"build/a.o": "compiled"})
        (series / "one.patch").write_text(CHANGE.replace("+ours", "+theirs"))
        second, done = ready(make(series), tmp_path)
        assert "2.6.0+theirs" in (second.tree / "tools/generate_torch_version.py").read_text()
        assert (second.tree / "torch/csrc/cuda/Module.cpp").read_text() == FILES["torch/csrc/cuda/Module.cpp"]
        assert not (second.tree / "c10/hip/impl").exists()
        assert not (second.tree / "build").exists()
        assert second.digest != first.digest
        assert "fetch" not in done


def given(tree: Path) -> Callable[[Path | None], SourceChoice]:
    return lambda patches: parse_source(str(tree), VERSION, patches=patches)


def test_a_patch_that_does_not_fit_changes_nothing_and_can_be_mended(tree: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "series", one=CHANGE, two=CHANGE)
    with pytest.raises(InputError, match=r"two\.patch: does not apply"):
        ready(given(tree)(series), tmp_path)
    assert contents(tmp_path / "build/source") == contents(tree)
    (series / "two.patch").write_text(CHANGE_AGAIN)
    prepared, _ = ready(given(tree)(series), tmp_path)
    assert "2.6.0+again" in (prepared.tree / "tools/generate_torch_version.py").read_text()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("", r"has not made c10/hip/impl/hip_cmake_macros\.h\.in and aten/src/ATen/hip/HIPConfig\.h\.in"),
        (
            BUILD_AMD.replace("c10/hip/impl", "c10/elsewhere"),
            r"has not made c10/hip/impl/hip_cmake_macros\.h\.in, which",
        ),
        ("import sys; sys.exit('no such module')", "ended with 1: no such module"),
    ],
)
def test_a_rewriting_that_fails_is_not_taken_for_done(tree: Path, tmp_path: Path, script: str, problem: str) -> None:
    (tree / "tools/amd_build/build_amd.py").write_text(script)
    for _ in range(2):
        with pytest.raises(OutsideError, match=problem):
            ready(given(tree)(None), tmp_path, rocm=True)
    (tree / "tools/amd_build/build_amd.py").write_text(BUILD_AMD)
    prepared, _ = ready(given(tree)(None), tmp_path, rocm=True)
    assert (prepared.tree / "torch/csrc/cuda/Module.cpp").read_text() == '#include "hip/cuda/driver_types.h"\n'


def test_trees_that_cannot_be_rewritten(tree: Path, tmp_path: Path) -> None:
    write_files(tree, {"c10/hip/impl/hip_cmake_macros.h.in": ""})
    with pytest.raises(InputError, match="is rewritten for ROCm already"):
        ready(given(tree)(None), tmp_path, rocm=True)
    shutil.rmtree(tree / "tools/amd_build")
    with pytest.raises(InputError, match="has no script that rewrites it for ROCm"):
        ready(given(tree)(None), tmp_path, rocm=True)


@pytest.mark.parametrize("kind", ["git", "tree"])
@pytest.mark.parametrize("rocm", [True, False])
def test_a_run_that_is_killed_anywhere_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, rocm: bool
) -> None:
    """Each run goes a command further than the last one, in the folder that it left."""
    configure_git(tmp_path, monkeypatch)
    series = make_series(tmp_path / "series", one=CHANGE)
    if kind == "git":
        choice = pinned(make_upstream(tmp_path), tmp_path, series)
    else:
        choice = given(write_files(tmp_path / "given", {**FILES, **SUBMODULES}))(series)
    whole, done = ready(choice, tmp_path, rocm=rocm)
    expected = contents(whole.tree)
    shutil.rmtree(tmp_path / "build")
    kills = 0
    while True:
        try:
            ready(choice, tmp_path, rocm=rocm, run=Runner(kills))
            break
        except Killed:
            kills += 1
    assert kills >= len(done) / 2
    assert ready(choice, tmp_path, rocm=rocm)[0] == whole
    assert contents(whole.tree) == expected


class HalfDone(Runner):
    """Runs the script that rewrites for ROCm and ends before it is done with it."""

    def __call__(self, command: object, fix: str, *, cwd: Path, environment: object = None) -> None:
        if isinstance(command, list) and command[-1].endswith("build_amd.py"):
            write_files(cwd, {"torch/csrc/cuda/Module.cpp": "half", "c10/hip/impl/hip_cmake_macros.h.in": "half"})
            raise Killed
        super().__call__(command, fix, cwd=cwd, environment=environment)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["git", "tree"])
def test_a_tree_that_was_half_rewritten_is_made_untouched_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    configure_git(tmp_path, monkeypatch)
    tree = write_files(tmp_path / "given", {**FILES, **SUBMODULES})
    choice = pinned(make_upstream(tmp_path), tmp_path) if kind == "git" else given(tree)(None)
    with pytest.raises(Killed):
        ready(choice, tmp_path, rocm=True, run=HalfDone())
    prepared, _ = ready(choice, tmp_path, rocm=True)
    assert (prepared.tree / "torch/csrc/cuda/Module.cpp").read_text() == '#include "hip/cuda/driver_types.h"\n'


# --- a given tree -------------------------------------------------------------------------------------------------


def test_a_given_tree_is_copied_and_left_alone(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure_git(tmp_path, monkeypatch)
    (tree / "link").symlink_to("setup.py")
    (tree / "broken").symlink_to("nowhere")
    (tree / "tools/amd_build/build_amd.py").chmod(0o755)
    head = commit(tree)
    write_files(
        tree, {"build/CMakeCache.txt": "", "tools/__pycache__/a.pyc": "", "third_party/outer/.git": "gitdir: x"}
    )
    for path in tree.rglob("*"):
        path.chmod(path.stat().st_mode & 0o555) if path.is_file() else None
    before = contents(tree)
    prepared, _ = ready(given(tree)(make_series(tmp_path / "series", one=CHANGE)), tmp_path, rocm=True)
    assert contents(tree) == before
    assert prepared.commit == head
    assert prepared.verified == f"as given in {tree}, of git commit {head}"
    assert (prepared.tree / "link").readlink() == Path("setup.py")
    assert (prepared.tree / "broken").readlink() == Path("nowhere")
    assert (prepared.tree / "tools/amd_build/build_amd.py").stat().st_mode & 0o100
    left_out = ("build", "tools/__pycache__", "third_party/outer/.git", ".git")
    assert not any((prepared.tree / name).exists() for name in left_out)


def test_a_given_tree_is_copied_again_when_a_file_in_it_changes(tmp_path: Path, tree: Path) -> None:
    first, done = ready(given(tree)(None), tmp_path)
    assert done == ["cp"]
    assert ready(given(tree)(None), tmp_path) == (first, [])
    (tree / "setup.py").write_text("# other\n")
    second, done = ready(given(tree)(None), tmp_path)
    assert done == ["cp"]
    assert (second.tree / "setup.py").read_text() == "# other\n"
    assert first.digest != second.digest
    assert first.digest.startswith("contents:")
    assert second.commit is None
    write_files(tree, {"build/a.o": "a build of the user's own is not looked at"})
    assert ready(given(tree)(None), tmp_path) == (second, [])


def test_a_tree_with_changes_has_no_commit(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure_git(tmp_path, monkeypatch)
    head = commit(tree)
    (tree / "setup.py").write_text("# changed\n")
    prepared, _ = ready(given(tree)(None), tmp_path)
    assert (prepared.commit, prepared.verified) == (
        None,
        f"as given in {tree}, of git commit {head}, with local changes",
    )


def test_a_tree_and_the_builds_folder_in_one_another(tmp_path: Path, tree: Path) -> None:
    ready(given(tree)(None), tmp_path)
    with pytest.raises(InputError, match="lie in one another"):
        ready(parse_source(str(tmp_path / "build/source"), VERSION), tmp_path)
    assert (tmp_path / "build/source/setup.py").is_file()
    with pytest.raises(InputError, match="lie in one another"):
        prepare(given(tree)(None), tree / "my/build", rocm=False, interpreter=PYTHON, run=Runner())


def test_another_version_than_asked_for(tmp_path: Path, upstream: str) -> None:
    wanted = git(tmp_path / "pytorch", "rev-parse", "v2.6.0")
    for _ in range(2):
        with pytest.raises(InputError, match=r"version\.txt: --version: this is PyTorch 2\.6\.0, but 2\.7\.1 is to be"):
            ready(parse_source(f"{upstream}@{wanted}", Version("2.7.1+noavx")), tmp_path)


# --- Debian's -----------------------------------------------------------------------------------------------------

FLATC = """\
#!/bin/sh
test "$*" = "--cpp --gen-mutable --scoped-enums mobile_bytecode.fbs" || exit 1
test -f mobile_bytecode.fbs && echo new > mobile_bytecode_generated.h
"""


@pytest.fixture
def debian_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Debian's tree, whose tools/generate_torch_version.py is as ours patches it; and a flatc."""
    (write_files(tmp_path / "bin", {"flatc": FLATC}) / "flatc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(releases, "_PATCHES", tmp_path / "patches")
    make_series(tmp_path / "patches/debian-2.6", ours=CHANGE)
    make_series(tmp_path / "patches/debian-2", older="no patch")
    return write_files(tmp_path / "debian", {**FILES, **DEBIAN})


def test_debians_tree_is_patched_and_its_headers_are_made(debian_tree: Path, tmp_path: Path) -> None:
    prepared, done = ready(given(debian_tree)(None), tmp_path)
    assert (prepared.flavour, prepared.version, done) == ("debian", VERSION, ["cp", "flatc"])
    assert prepared.steps == (
        "1 change of the series debian-2.6",
        "flatc --cpp --gen-mutable --scoped-enums mobile_bytecode.fbs",
    )
    assert (prepared.tree / "torch/csrc/jit/serialization/mobile_bytecode_generated.h").read_text() == "new\n"
    assert "+ours" in (prepared.tree / "tools/generate_torch_version.py").read_text()
    assert "+flatbuffers:" in prepared.digest


def test_a_missing_flatc_is_told_before_anything_is_changed(
    debian_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(OutsideError, match=r"flatc is not installed: .*; fix: apt install flatbuffers-compiler"):
        ready(given(debian_tree)(None), tmp_path)
    assert contents(tmp_path / "build/source") == contents(debian_tree)


def test_debians_source_package_is_fetched_once(
    debian_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, str, str]] = []

    def fetch(package: str, suite: str, release: str, folder: Path) -> Path:
        if not fetched:
            fetched.append((package, suite, release))
            write_files(folder, {"torn.tar.xz": ""})
            raise Killed
        fetched.append((package, suite, release))
        return write_files(folder, {"pytorch_2.6.0+dfsg-7.dsc": "description"}) / "pytorch_2.6.0+dfsg-7.dsc"

    def unpack(_description: Path, into: Path) -> None:
        shutil.copytree(debian_tree, into)

    monkeypatch.setattr(origin, "fetch_package", fetch)
    monkeypatch.setattr(origin, "unpack_package", unpack)
    choice = parse_source("debian:trixie", VERSION)
    with pytest.raises(Killed):
        ready(choice, tmp_path)
    prepared, _ = ready(choice, tmp_path)
    assert prepared.flavour == "debian"
    assert prepared.verified.startswith("pytorch_2.6.0+dfsg-7 of trixie, by the signature of its archive")
    assert prepared.digest.startswith("dsc:")
    changed, _ = ready(choice, tmp_path, rocm=True)
    assert changed.digest == f"{prepared.digest}+hipify"
    assert fetched == [("pytorch", "trixie", "2.6.0")] * 2


def test_debian_has_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = "Version: 2.6.0+dfsg-7\nVersion: 2.6.0+dfsg-8\n"
    monkeypatch.setattr(debian_source, "_private_apt", lambda _suite, _folder: [])
    monkeypatch.setattr(debian_source, "_apt", lambda _command, _folder: listing)
    with pytest.raises(InputError, match=r"trixie has pytorch 2\.6\.0\+dfsg-7, 2\.6\.0\+dfsg-8, not 2\.7\.1"):
        ready(parse_source("debian:trixie", Version("2.7.1")), tmp_path)
