"""The life of the packages on a machine, with the real apt and dpkg of Debian 12."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.stack.prove import list_files, verify_nothing_left, verify_with_dpkg, verify_with_pip
from debtool.stack.service import start_service
from tests.integration.conftest import install, release_version

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.build.image import RootImage
    from debtool.build.root import Root
    from tests.support.stacks import ServedStack

pytestmark = pytest.mark.root

OURS = [f"acme-{name}" for name in ("app", "archive-keyring", "deps", "python3-gear", "python3-sprocket", "runtime")]
SITE_PACKAGES = "/usr/lib/acme/venv/lib/python3.11/site-packages"


def versions(root: Root) -> dict[str, str]:
    fields = "${db:Status-Status} ${Package} ${Version}\n"
    listing = root.run(["dpkg-query", "--show", f"--showformat={fields}"]).stdout
    rows = (line.split() for line in listing.splitlines())
    return {name: version for status, name, version in rows if status == "installed" and name.startswith("acme-")}


def is_enabled(root: Root) -> bool:
    link = "/etc/systemd/system/multi-user.target.wants/acme-app.service"
    return root.run(["readlink", link], check=False).stdout == "/lib/systemd/system/acme-app.service\n"


def test_installed_files_are_whole_and_seen_by_python(installed: Root) -> None:
    assert sorted(versions(installed)) == OURS
    verify_with_dpkg(installed, OURS)
    verify_with_pip(installed, "/usr/lib/acme/venv", "acme", OURS)
    assert (
        installed.run(["/usr/lib/acme/venv/bin/python3", "-c", "import sprocket; print(sprocket.VERSION)"]).stdout
        == "1\n"
    )


def test_nothing_is_compiled_on_the_machine(installed: Root) -> None:
    before = list_files(installed)
    installed.run(["/usr/lib/acme/venv/bin/python3", "-c", "import sprocket, gear"])
    assert list_files(installed) == before
    assert installed.path(f"{SITE_PACKAGES}/__pycache__/sprocket.cpython-311.pyc").exists()


def test_the_service_runs_as_its_user_and_answers(installed: Root, tmp_path: Path) -> None:
    service = start_service(installed, "acme-app", tmp_path / "log")
    service.wait_for(["/", "/info"], timeout=60)
    owner = installed.run(["stat", "--format=%U", "/var/lib/acme-app/started"]).stdout
    assert owner == "acme-app\n"
    service.daemon.stop()


def test_the_service_is_enabled_and_not_started(installed: Root) -> None:
    assert is_enabled(installed)


def test_an_upgrade_replaces_files_and_keeps_settings_and_state(
    own_acme: ServedStack, bookworm_with_python: RootImage
) -> None:
    with bookworm_with_python.instance() as root:
        install(root, own_acme)
        old = versions(root)
        root.run(["sh", "-c", "echo ARGUMENTS=--verbose >> /etc/acme/app.conf; echo mine > /var/lib/acme-app/mine"])
        release_version(own_acme, 2)
        root.run(["apt-get", "update"])
        root.run(["apt-get", "upgrade", "--yes", "--with-new-pkgs"])

        new = versions(root)
        assert new["acme-python3-sprocket"] == "2.0-1~deb12"
        assert new["acme-python3-gear"] == old["acme-python3-gear"]
        assert {name for name in OURS if new[name] != old[name]} >= {"acme-app", "acme-deps", "acme-python3-sprocket"}
        assert "ARGUMENTS=--verbose" in root.path("/etc/acme/app.conf").read_text()
        assert root.path("/var/lib/acme-app/mine").read_text() == "mine\n"
        assert root.path("/usr/share/acme/app/only_in_2.py").exists()
        assert not root.path("/usr/share/acme/app/only_in_1.py").exists()
        names = {path.name for path in root.path(SITE_PACKAGES).iterdir()}
        assert {name for name in names if name.startswith("sprocket")} == {"sprocket.py", "sprocket-2.0.dist-info"}
        verify_with_pip(root, "/usr/lib/acme/venv", "acme", OURS)

        # Down again, with the older packages at hand: the archive's suite has the new set only.
        for name, version in old.items():
            if new[name] != version:
                (package,) = [one for one in own_acme.archive.all_versions(name) if one.version == version]
                path = own_acme.archive.pool_path(package)
                root.copy_in(path, f"/srv/{path.name}")
        root.run(["sh", "-c", "apt-get install --yes --allow-downgrades /srv/*.deb"])
        assert versions(root) == old
        assert not root.path("/usr/share/acme/app/only_in_2.py").exists()
        assert "ARGUMENTS=--verbose" in root.path("/etc/acme/app.conf").read_text()
        verify_with_pip(root, "/usr/lib/acme/venv", "acme", OURS)
        assert root.run(["dpkg", "--audit"]).stdout == ""


def test_removal_keeps_settings_and_state_until_it_is_installed_again(installed: Root) -> None:
    installed.run(["sh", "-c", "echo ARGUMENTS=--verbose >> /etc/acme/app.conf; echo mine > /var/lib/acme-app/mine"])
    installed.run(["apt-get", "remove", "--yes", "acme-app"])
    assert not installed.path("/usr/share/acme").exists()
    assert installed.path("/var/lib/acme-app/mine").exists()
    installed.run(["apt-get", "install", "--yes", "acme-app"])
    assert "ARGUMENTS=--verbose" in installed.path("/etc/acme/app.conf").read_text()
    assert is_enabled(installed)


def test_purging_leaves_nothing_behind(acme: ServedStack, bookworm_with_python: RootImage, tmp_path: Path) -> None:
    with bookworm_with_python.instance() as root:
        before = list_files(root)
        install(root, acme)
        service = start_service(root, "acme-app", tmp_path / "log")
        service.wait_for(["/"], timeout=60)
        service.daemon.stop()
        root.run(["apt-get", "purge", "--yes", *OURS])
        verify_nothing_left(before, list_files(root))
        with pytest.raises(KeyError):
            accounts(root)["acme-app"]


def accounts(root: Root) -> dict[str, str]:
    lines = root.path("/etc/passwd").read_text().splitlines()
    return {line.split(":")[0]: line for line in lines}


def test_the_keyring_keeps_a_source_that_was_there_before(installed: Root, acme: ServedStack) -> None:
    assert installed.path("/etc/apt/sources.list.d/acme.sources").read_text() == acme.claim().stanza
    installed.run(["apt-get", "update", "--error-on=any"])


def test_a_tampered_package_is_not_installed(own_acme: ServedStack, bookworm_with_python: RootImage) -> None:
    archive = own_acme.archive
    (package,) = archive.all_versions("acme-python3-sprocket")
    path = archive.pool_path(package)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with bookworm_with_python.instance() as root:
        *lines, last = own_acme.claim().lines
        root.run(["sh", "-e"], stdin="\n".join(lines))
        done = root.run(["sh", "-e"], stdin=last, check=False)
        assert done.returncode != 0
        assert "Hash Sum mismatch" in done.stderr
        assert versions(root) == {}


def test_a_changed_release_file_is_refused(own_acme: ServedStack, bookworm_with_python: RootImage) -> None:
    with bookworm_with_python.instance() as root:
        install(root, own_acme)
        release_version(own_acme, 2)
        inrelease = own_acme.public / f"dists/{own_acme.suite}/InRelease"
        inrelease.write_text(inrelease.read_text().replace("Suite: bookworm-stable", "Suite: bookworm-Stable"))
        done = root.run(["apt-get", "update", "--error-on=any"], check=False)
        assert done.returncode != 0
        assert "BADSIG" in done.stderr
        root.run(["apt-get", "upgrade", "--yes"])
        assert versions(root)["acme-python3-sprocket"] == "1.0-1~deb12"
