"""What a proof says when something is not as promised."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from debtool.model.errors import FindingsError, InputError, OutsideError
from debtool.stack.prove import Step, prove, refuse_without_key, verify_nothing_left, verify_with_dpkg, verify_with_pip
from debtool.stack.service import start_service

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.build.image import RootImage
    from debtool.build.root import Root
    from tests.support.stacks import ServedStack

VENV = "/usr/lib/acme/venv"
SITE_PACKAGES = f"{VENV}/lib/python3.11/site-packages"
WHEELS = ["acme-python3-gear", "acme-python3-sprocket"]


def test_left_behind_is_what_is_new_outside_of_the_books() -> None:
    before = frozenset({"/etc/passwd"})
    books = {"/var/lib/dpkg/info/x.list", "/var/lib/apt/lists/y", "/var/log/apt/term.log", "/etc/passwd-"}
    verify_nothing_left(before, before | books)
    with pytest.raises(FindingsError, match="left behind:\n/etc/acme\n/var/lib/acme;"):
        verify_nothing_left(before, before | books | {"/var/lib/acme", "/etc/acme"})


@pytest.mark.root
class TestRefused:
    def test_a_key_inside_the_source_is_no_missing_key(self, acme: ServedStack, bookworm: RootImage) -> None:
        stanza = acme.archive.sources_stanza(acme.suite, url=acme.server.url)
        with bookworm.instance() as root, pytest.raises(FindingsError, match="took an archive without its key"):
            refuse_without_key(root, stanza)

    def test_an_archive_that_is_not_there_is_no_refusal(self, acme: ServedStack, bookworm: RootImage) -> None:
        stanza = acme.claim().stanza.replace(acme.server.url, f"{acme.server.url}nowhere/")
        with bookworm.instance() as root, pytest.raises(FindingsError, match="failed otherwise"):
            refuse_without_key(root, stanza)


@pytest.mark.root
class TestVerified:
    def test_a_changed_file_is_found(self, installed: Root) -> None:
        installed.path(f"{SITE_PACKAGES}/sprocket.py").write_text("VERSION = 9")
        with pytest.raises(FindingsError, match=r"sprocket\.py"):
            verify_with_dpkg(installed, WHEELS)

    def test_a_package_that_is_half_done_is_found(self, installed: Root) -> None:
        status = installed.path("/var/lib/dpkg/status")
        entry = "Package: acme-app\nStatus: install ok "
        text = status.read_text()
        assert f"{entry}installed" in text
        status.write_text(text.replace(f"{entry}installed", f"{entry}half-configured"))
        with pytest.raises(FindingsError, match="half"):
            verify_with_dpkg(installed, WHEELS)

    def test_an_unmet_requirement_is_found(self, installed: Root) -> None:
        metadata = installed.path(f"{SITE_PACKAGES}/gear-2.5.dist-info/METADATA")
        metadata.write_text(metadata.read_text().replace("Version: 2.5", "Version: 1.5"))
        with pytest.raises(FindingsError, match=r"sprocket 1\.0 has requirement gear"):
            verify_with_pip(installed, VENV, "acme", WHEELS)

    def test_a_distribution_that_python_does_not_see_is_found(self, installed: Root) -> None:
        installed.run(["rm", "-r", f"{SITE_PACKAGES}/gear-2.5.dist-info"])
        with pytest.raises(FindingsError, match=r"does not see.*acme-python3-gear"):
            verify_with_pip(installed, VENV, "acme", WHEELS)

    def test_a_distribution_of_nobody_is_found(self, installed: Root) -> None:
        with pytest.raises(FindingsError, match="no package of ours installs: gear"):
            verify_with_pip(installed, VENV, "acme", ["acme-python3-sprocket"])


@pytest.mark.root
class TestService:
    def test_death_by_an_illegal_instruction_is_named_with_the_log(self, installed: Root, tmp_path: Path) -> None:
        program = "import os, signal\nprint('about to compute', flush=True)\nos.kill(os.getpid(), signal.SIGILL)\n"
        installed.path("/usr/share/acme/app/main.py").write_text(program)
        service = start_service(installed, "acme-app", tmp_path / "log")
        with pytest.raises(OutsideError, match=r"(?s)SIGILL \(Illegal instruction\).*about to compute"):
            service.wait_for(["/"], timeout=60)

    def test_silence_is_told_after_the_time_limit(self, installed: Root, tmp_path: Path) -> None:
        installed.path("/usr/share/acme/app/main.py").write_text("import time\ntime.sleep(60)\n")
        service = start_service(installed, "acme-app", tmp_path / "log")
        with pytest.raises(OutsideError, match=r"did not answer on / within 0\.5 s \(last: ConnectionError\)"):
            service.wait_for(["/"], timeout=0.5)

    def test_a_package_without_a_service_is_an_error(self, installed: Root, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="0 services"):
            start_service(installed, "acme-deps", tmp_path / "log")


@pytest.mark.root
def test_a_proof_ends_with_the_step_that_failed(
    acme: ServedStack, bookworm_with_python: RootImage, tmp_path: Path
) -> None:
    told: list[Step] = []
    claim = replace(acme.claim(), lines=[*acme.claim().lines[:-1], "apt-get install -y acme-nothing"])
    proof = prove(claim, bookworm_with_python, tmp_path / "log", told.append)
    assert not proof.ok
    assert proof.sizes is None
    assert [step.ok for step in proof.steps] == [True, True, False]
    assert "Unable to locate package acme-nothing" in proof.steps[-1].detail
    assert told == list(proof.steps)


@pytest.mark.root
def test_a_proof_of_a_stack_of_ones_own(acme: ServedStack, bookworm: RootImage, tmp_path: Path) -> None:
    proof = prove(acme.claim(), bookworm, tmp_path / "log")
    assert proof.ok, proof.steps[-1].detail
    assert proof.sizes is not None
    assert proof.sizes.packages == 6
    assert proof.sizes.distribution_packages > 3
    assert proof.sizes.installed > proof.sizes.downloaded > 1_000_000
