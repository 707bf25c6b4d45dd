from __future__ import annotations

import stat
import subprocess
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from debian.deb822 import Deb822

from debtool.archive import Archive, ArchiveConfig
from debtool.archive.signing import Signer
from debtool.model.errors import InputError, OutsideError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.conftest import MakeDeb


def packets(key: bytes) -> str:
    done = subprocess.run(["gpg", "--list-packets"], input=key, capture_output=True, check=True)
    return done.stdout.decode()


def test_the_key_is_what_current_verifiers_accept(archive: Archive) -> None:
    listing = packets(archive.key.public_binary)
    assert "algo 22" in listing  # EdDSA
    assert "ed25519" in listing
    assert "digest algo 10," in listing  # SHA-512
    assert "digest algo 2," not in listing  # SHA-1
    assert packets(archive.key.public_armored) == listing
    assert len(archive.key.fingerprint) == 40


def test_the_secret_half_lies_outside_what_is_served(archive: Archive) -> None:
    private = archive.public.with_name("public-private")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / "gnupg").stat().st_mode) == 0o700
    assert len(list((private / "gnupg/private-keys-v1.d").iterdir())) == 1
    assert len(list((private / "gnupg/openpgp-revocs.d").iterdir())) == 1
    assert {path.name for path in archive.public.iterdir()} == {
        "archive-keyring.asc",
        "archive-keyring.gpg",
        "dists",
        "generations",
        "index.html",
        "pool",
    }
    assert (archive.public / "archive-keyring.asc").read_bytes() == archive.key.public_armored
    assert (archive.public / "archive-keyring.gpg").read_bytes() == archive.key.public_binary


def test_git_never_takes_the_key(archive: Archive) -> None:
    root = archive.public.parent
    subprocess.run(["git", "init", "-q", root], check=True, capture_output=True)
    done = subprocess.run(
        ["git", "-C", root, "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True
    )
    assert "public/archive-keyring.asc" in done.stdout
    assert "private" not in done.stdout


def test_no_agent_stays_behind(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish("suite", [make_deb("foo")])
    assert not list((archive._layout.gnupg).glob("S.*"))


def test_a_deep_directory_is_no_obstacle_to_gpg_agent(tmp_path: Path, config: ArchiveConfig, make_deb: MakeDeb) -> None:
    archive = Archive.init(tmp_path / ("d" * 120) / "public", config)
    archive.publish("suite", [make_deb("foo")])
    assert archive.check("suite") == ()
    assert not list((archive._layout.gnupg).glob("S.*"))


def test_an_interrupted_init_is_completed_with_the_same_key(tmp_path: Path, config: ArchiveConfig) -> None:
    private = tmp_path / "public-private"
    private.mkdir(mode=0o700)
    key = Signer(private / "gnupg").ensure_key(config.key_uid)
    with pytest.raises(InputError, match="is not an archive"):
        Archive.open(tmp_path / "public")
    assert Archive.init(tmp_path / "public", config).key == key


def test_a_directory_with_something_else_in_it_is_refused(tmp_path: Path, config: ArchiveConfig) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public/index.html").touch()
    with pytest.raises(InputError, match="is not empty"):
        Archive.init(tmp_path / "public", config)
    assert not (tmp_path / "public-private").exists()


def test_a_lost_private_half_is_not_replaced_by_a_new_key(archive: Archive, config: ArchiveConfig) -> None:
    archive._layout.private.rename(archive.public.with_name("backup"))
    with pytest.raises(InputError, match="restore the private half"):
        Archive.init(archive.public, config)


def test_opening_what_is_no_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not an archive.*debtool repo init"):
        Archive.open(tmp_path)


def test_a_damaged_configuration_is_an_error(archive: Archive) -> None:
    archive._layout.config.write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        Archive.open(archive.public)


def test_a_missing_gnupg_is_named(tmp_path: Path, config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OutsideError, match="apt install gnupg"):
        Archive.init(tmp_path / "public", config)


def test_the_sources_stanza_names_a_keyring(archive: Archive) -> None:
    keyring = PurePosixPath("/usr/share/keyrings/test.gpg")
    text = archive.sources_stanza("noble-stable", url="http://apt.example.org/test", keyring=keyring)
    assert dict(Deb822(text)) == {
        "Types": "deb",
        "URIs": "http://apt.example.org/test/",
        "Suites": "noble-stable",
        "Components": "main",
        "Architectures": "amd64",
        "Signed-By": "/usr/share/keyrings/test.gpg",
    }


def test_the_sources_stanza_needs_a_url(archive: Archive, config: ArchiveConfig) -> None:
    with pytest.raises(InputError, match="has no URL"):
        archive.sources_stanza("noble-stable")
    known = Archive.init(archive.public, config.model_copy(update={"url": "https://apt.example.org"}))
    assert "URIs: https://apt.example.org/\n" in known.sources_stanza("noble-stable")
