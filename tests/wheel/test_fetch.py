from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, OutsideError
from debtool.model.target import Target, parse_target
from debtool.wheel.fetch import FileCache, fetch, fetch_sdist
from debtool.wheel.lock import Lock, LockedArtefact, LockedFile, file_identity
from tests.support.indexes import served_index

if TYPE_CHECKING:
    from tests.support.wheels import TinyWheels

OLD = canonicalize_name("cg-old")
TORCH = LockedArtefact(canonicalize_name("torch"), Version("2.13.0+cpu"), "external")
TAG = "cp311-cp311-manylinux_2_28_x86_64"


@pytest.fixture
def target() -> Target:
    file = Path(__file__).parents[2] / "repo" / "targets" / "bookworm.toml"
    return parse_target(file.read_text(), file)


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache")


def _lock(files: list[Path], *artefacts: LockedArtefact) -> Lock:
    entries = [LockedFile(*file_identity(file.name), file.name, sha256_of(file)) for file in files]
    return Lock("s", "bookworm", "0" * 64, tuple(entries), artefacts)


def _leftovers(cache: FileCache) -> list[Path]:
    return [path for path in cache.folder.iterdir() if path.name.startswith(".")]


def test_every_file_comes_once_and_stays(tiny_index: TinyWheels, target: Target, cache: FileCache) -> None:
    files = [tiny_index.wheel(f"one{number}", "1.0") for number in range(8)]
    files.append(tiny_index.wheel("two", "1.0", tag=TAG))
    lock, told = _lock(files), []
    fetched = fetch(lock, target, cache, progress=lambda name, done, total: told.append((name, done, total)))
    assert [path.name for path in fetched.values()] == sorted(file.name for file in files)
    assert {done for _name, done, _total in told} == set(range(1, 10))
    assert {total for _name, _done, total in told} == {9}
    for file in files:
        file.unlink()
    told.clear()
    assert fetch(lock, target, cache, progress=lambda name, done, total: told.append((name, done, total))) == fetched
    assert not told
    assert not _leftovers(cache)


def _sdist(index: TinyWheels, mark: Path) -> Path:
    """An sdist whose build backend fails, and leaves a mark, as soon as it is asked for anything."""
    backend = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nraise SystemExit('the backend was run')\n"
    return index.sdist("cg-old", "1.0", {"pyproject.toml": backend, "backend.py": code})


def test_an_sdist_is_fetched_as_it_is_and_nothing_of_it_is_run(
    tiny_index: TinyWheels, target: Target, cache: FileCache, tmp_path: Path
) -> None:
    sdist = _sdist(tiny_index, tmp_path / "mark")
    wheel = tiny_index.wheel("one", "1.0")
    tiny_index.wheel("cg-old", "1.0")  # is not taken in its place
    old, one = fetch(_lock([sdist, wheel]), target, cache).values()
    assert (old.read_bytes(), one.read_bytes()) == (sdist.read_bytes(), wheel.read_bytes())
    sdist_file = LockedFile(OLD, Version("1.0"), sdist.name, sha256_of(sdist))
    assert fetch_sdist(OLD, Version("1.0"), target, cache) == sdist_file
    assert cache.path(sdist_file.sha256, sdist_file.file) == old
    assert not (tmp_path / "mark").exists()
    assert not _leftovers(cache)


def test_an_sdist_with_another_hash_is_refused(
    tiny_index: TinyWheels, target: Target, cache: FileCache, tmp_path: Path
) -> None:
    sdist = _sdist(tiny_index, tmp_path / "mark")
    lock = _lock([sdist])
    sdist.write_bytes(sdist.read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"cg-old-1\.0\.tar\.gz has the SHA-256 \w+, the lock says"):
        fetch(lock, target, cache)
    assert not list(cache.folder.rglob("*.tar.gz"))
    assert not _leftovers(cache)


def test_an_sdist_that_an_index_does_not_have(tiny_index: TinyWheels, target: Target, cache: FileCache) -> None:
    tiny_index.wheel("cg-old", "1.0")
    with pytest.raises(InputError, match=r"cg-old: pip as it is configured here offers no sdist of cg-old 1\.0; fix:"):
        fetch_sdist(OLD, Version("1.0"), target, cache)
    gone = LockedFile(OLD, Version("1.0"), "cg-old-1.0.tar.gz", "1" * 64)
    with pytest.raises(InputError, match=r"offers no sdist of cg-old 1\.0"):
        fetch(Lock("s", "bookworm", "0" * 64, (gone,), ()), target, cache)


@pytest.mark.parametrize("place", ["url", "netrc", "proxy"])
def test_an_sdist_comes_from_an_index_that_asks_who_one_is(
    place: str,
    tiny_index: TinyWheels,
    target: Target,
    cache: FileCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sdist = _sdist(tiny_index, tmp_path / "mark")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cr@t\n" if place == "netrc" else "")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with served_index(tiny_index.folder, "me", "s3cr@t") as host:
        if place == "proxy":  # a host that nobody but the proxy knows
            _only_index("http://me:s3cr%40t@index.invalid/simple/", f"proxy = http://{host}")
        else:
            _only_index(f"http://{'me:s3cr%40t@' if place == 'url' else ''}{host}/simple/")
        [path] = fetch(_lock([sdist]), target, cache).values()
    assert path.read_bytes() == sdist.read_bytes()
    assert not (tmp_path / "mark").exists()


def test_an_index_that_cannot_be_reached_is_an_outside_error(
    tiny_index: TinyWheels, target: Target, cache: FileCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdist = _sdist(tiny_index, tmp_path / "mark")
    _only_index("http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(OutsideError, match=r"the sdist of cg-old 1\.0 was not found: .*; fix: check the network"):
        fetch(_lock([sdist]), target, cache)


def test_an_sdist_must_be_the_one_that_the_index_tells_of(
    tiny_index: TinyWheels, target: Target, cache: FileCache, tmp_path: Path
) -> None:
    _sdist(tiny_index, tmp_path / "mark")
    with served_index(tiny_index.folder, "me", "s3cr@t", sha256="1" * 64) as host:
        _only_index(f"http://me:s3cr%40t@{host}/simple/")
        with pytest.raises(InputError, match="the index says 1111"):
            fetch_sdist(OLD, Version("1.0"), target, cache)
    assert not list(cache.folder.rglob("*.tar.gz"))


def _only_index(url: str, *more: str) -> None:
    """Let pip be configured with this index, ``more`` lines and nothing else."""
    lines = ["[global]", f"index-url = {url}", "extra-index-url =", "find-links =", *more]
    Path(os.environ["PIP_CONFIG_FILE"]).write_text("\n".join([*lines, ""]))


def test_a_file_with_another_hash_is_refused(tiny_index: TinyWheels, target: Target, cache: FileCache) -> None:
    wheel = tiny_index.wheel("one", "1.0")
    lock = _lock([wheel])
    tiny_index.wheel("one", "1.0", body="evil = True\n")
    with pytest.raises(InputError, match="another hash"):
        fetch(lock, target, cache)
    assert not list(cache.folder.rglob("*.whl"))
    assert not _leftovers(cache)


def test_what_was_fetched_before_a_failure_is_kept(tiny_index: TinyWheels, target: Target, cache: FileCache) -> None:
    files = [tiny_index.wheel(f"one{number}", "1.0") for number in range(7)]
    lock = _lock(files)
    files[6].unlink()
    with pytest.raises(OutsideError, match=r"one6==1\.0"):
        fetch(lock, target, cache)
    assert len(list(cache.folder.rglob("*.whl"))) == 6
    tiny_index.wheel("one6", "1.0")
    assert len(fetch(lock, target, cache)) == 7


def test_an_artefact_comes_from_pips_configuration(tiny_index: TinyWheels, target: Target, cache: FileCache) -> None:
    tiny_index.wheel("torch", "2.13.0", tag=TAG)
    wheel = tiny_index.wheel("torch", "2.13.0+cpu", tag=TAG)
    [path] = fetch(_lock([], TORCH), target, cache).values()
    assert path.name == wheel.name
    wheel.unlink()
    assert fetch(_lock([], TORCH), target, cache) == {"torch": path}


def test_a_cuda_build_alone_is_no_offer(tiny_index: TinyWheels, target: Target, cache: FileCache) -> None:
    tiny_index.wheel("torch", "2.13.0", tag=TAG)
    with pytest.raises(InputError) as caught:
        fetch(_lock([], TORCH), target, cache)
    [issue] = caught.value.issues
    assert "offers no torch 2.13.0+cpu" in issue.problem
    assert "CUDA" in issue.problem
    assert "--source torch=PATH|URL|INDEX-URL" in issue.fix
    assert "\n" not in str(issue)


@pytest.mark.parametrize("form", ["file", "folder", "url"])
def test_a_given_source_wins(
    form: str, tiny_index: TinyWheels, target: Target, cache: FileCache, tmp_path: Path
) -> None:
    tiny_index.wheel("torch", "2.13.0+cpu", tag=TAG, body="other = True\n")
    own = tiny_index.wheel("torch", "2.13.0+cpu", tag=TAG, folder=tmp_path / "own")
    place = {"file": str(own), "folder": str(own.parent), "url": own.as_uri()}[form]
    [path] = fetch(_lock([], TORCH), target, cache, sources={"Torch": place, "some-tree": "elsewhere"}).values()
    assert path.read_bytes() == own.read_bytes()


@pytest.mark.parametrize(
    ("version", "tag"), [("2.13.0", TAG), ("2.13.0+cpu", "cp312-cp312-manylinux_2_28_x86_64"), ("2.12.0+cpu", TAG)]
)
def test_a_given_wheel_must_be_the_locked_one(
    version: str, tag: str, tiny_index: TinyWheels, target: Target, cache: FileCache, tmp_path: Path
) -> None:
    own = tiny_index.wheel("torch", version, tag=tag, folder=tmp_path / "own")
    with pytest.raises(InputError) as caught:
        fetch(_lock([], TORCH), target, cache, sources={"torch": str(own)})
    assert own.name in str(caught.value)
    assert "for Python 3.11 (bookworm)" in str(caught.value)


def test_a_given_path_that_does_not_exist(
    tiny_index: TinyWheels, target: Target, cache: FileCache, tmp_path: Path
) -> None:
    missing = tmp_path / f"torch-2.13.0+cpu-{TAG}.whl"
    with pytest.raises(InputError, match="no wheel of torch"):
        fetch(_lock([], TORCH), target, cache, sources={"torch": str(missing)})
    assert not list(tiny_index.folder.iterdir())


def test_a_pinned_artefact_is_checked(tiny_index: TinyWheels, target: Target, cache: FileCache) -> None:
    tiny_index.wheel("torch", "2.13.0+cpu", tag=TAG)
    pinned = LockedArtefact(TORCH.name, TORCH.version, "external", sha256="1" * 64)
    with pytest.raises(InputError, match="the lock says 1111"):
        fetch(_lock([], pinned), target, cache)


def test_what_is_built_is_left_out_unless_given(
    tiny_index: TinyWheels, target: Target, cache: FileCache, tmp_path: Path
) -> None:
    built = LockedArtefact(canonicalize_name("torchvision"), Version("0.21.0"), "companion", TORCH.name, "path")
    assert fetch(_lock([], built), target, cache) == {}
    own = tiny_index.wheel("torchvision", "0.21.0", tag="cp311-cp311-linux_x86_64", folder=tmp_path / "own")
    assert fetch(_lock([], built), target, cache, sources={"torchvision": str(own)}) == {"torchvision": own}
