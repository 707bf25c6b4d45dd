from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from debtool.archive.serve import Server
from debtool.model.errors import InputError, OutsideError
from debtool.model.target import AptSource, Rocm, Target
from debtool.stack.vendor_keys import vendor_keys
from tests.support.drafts import target

if TYPE_CHECKING:
    from pathlib import Path


class Key:
    """A throwaway OpenPGP key."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self._gpg = ["gpg", "--homedir", str(home), "--batch", "--no-options", "--quiet"]
        self._run("--passphrase", "", "--quick-generate-key", "Vendor <vendor@example.org>", "ed25519", "sign", "never")
        listing = self._run("--with-colons", "--list-keys").decode().splitlines()
        self.fingerprint = next(line.split(":")[9] for line in listing if line.startswith("fpr"))
        self.binary = self._run("--export")
        self.armored = self._run("--armor", "--export")
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)

    def _run(self, *arguments: str) -> bytes:
        return subprocess.run([*self._gpg, *arguments], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return Key(tmp_path_factory.mktemp("k") / "one")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return Key(tmp_path_factory.mktemp("k") / "two")


def with_rocm(fingerprint: str, key_uri: str = "http://127.0.0.1:9/key") -> Target:
    source = AptSource(
        uri="https://vendor.example.org/apt",
        suite="noble",
        fingerprint=fingerprint,
        key_uri=key_uri,
        pin=600,
        pin_origin="vendor.example.org",
    )
    return target(rocm=Rocm(release="6.3.4", gpu="gfx1030", sonames={}, source=source))


def test_a_target_without_vendors_needs_no_key(tmp_path: Path) -> None:
    assert vendor_keys(target(), tmp_path, {}) == ()


@pytest.mark.parametrize("form", ["binary", "armored"])
def test_the_pinned_key_is_taken_in_binary_form_and_kept(tmp_path: Path, key: Key, form: str) -> None:
    file = tmp_path / "vendor.key"
    file.write_bytes(getattr(key, form))
    [vendor] = vendor_keys(with_rocm(key.fingerprint), tmp_path / "cache", {"rocm-key": str(file)})
    assert vendor.key == key.binary
    file.unlink()
    # The cache has it now; nothing is fetched.
    [again] = vendor_keys(with_rocm(key.fingerprint), tmp_path / "cache", {})
    assert again == vendor


@pytest.mark.parametrize("form", ["binary", "armored"])
def test_another_key_is_refused(tmp_path: Path, key: Key, other: Key, form: str) -> None:
    file = tmp_path / "vendor.key"
    file.write_bytes(getattr(other, form))
    with pytest.raises(InputError, match=f"has fingerprint {other.fingerprint} .*pins {key.fingerprint}"):
        vendor_keys(with_rocm(key.fingerprint), tmp_path / "cache", {"rocm-key": str(file)})
    assert not (tmp_path / "cache").exists()


def test_the_pinned_key_beside_another_is_refused(tmp_path: Path, key: Key, other: Key) -> None:
    file = tmp_path / "vendor.key"
    file.write_bytes(key.binary + other.binary)
    with pytest.raises(InputError, match=f"{key.fingerprint}, {other.fingerprint}"):
        vendor_keys(with_rocm(key.fingerprint), tmp_path / "cache", {"rocm-key": str(file)})


def test_what_is_no_key_is_refused(tmp_path: Path, key: Key) -> None:
    file = tmp_path / "vendor.key"
    file.write_text("<html>not found</html>")
    with pytest.raises(InputError, match="none: it is no OpenPGP key"):
        vendor_keys(with_rocm(key.fingerprint), tmp_path / "cache", {"rocm-key": str(file)})
    with pytest.raises(InputError, match=r"cannot be read: .*; fix: correct --source rocm-key=FILE"):
        vendor_keys(with_rocm(key.fingerprint), tmp_path / "cache", {"rocm-key": str(tmp_path / "none")})


def test_the_key_is_fetched_where_the_target_says(tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    public = tmp_path / "public"
    public.mkdir()
    (public / "vendor.key").write_bytes(key.armored)
    with Server(public) as server:
        place = f"{server.url.rstrip('/')}/vendor.key"
        [vendor] = vendor_keys(with_rocm(key.fingerprint, place), tmp_path / "cache", {})
        assert vendor.key == key.binary
        with pytest.raises(OutsideError, match=r"cannot be fetched from .*rocm-key=FILE"):
            vendor_keys(with_rocm(key.fingerprint, f"{place}.not"), tmp_path / "other", {})
    assert [path.name for path in (tmp_path / "cache/keys").iterdir()] == [f"{key.fingerprint}.gpg"]
