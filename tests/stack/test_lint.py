from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from debtool.deb.compression import Compression
from debtool.deb.control import Control
from debtool.deb.documents import add_text, debian_changelog, documentation
from debtool.deb.writer import write_deb
from debtool.model.errors import InputError, OutsideError
from debtool.stack.lint import Finding, Lintian, Verdict
from tests.support.drafts import Notes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.deb.payload import Sink

DATE = 1_767_520_800
COPYRIGHT = (
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
    "Files: *\nCopyright: 2026 A Tester\nLicense: Expat\n Do as you please.\n"
)
FIELDS = {
    "Version": "1.0-1~test",
    "Architecture": "all",
    "Maintainer": "A Tester <a@example.org>",
    "Section": "misc",
    "Priority": "optional",
    "Homepage": "https://demo.example.org/",
    "Description": "package that tests judge\n It holds what a test puts into it, and its documentation, which Debian\n"
    " Policy asks of every package.",
}


class Files:
    """A package's text files beside its documentation."""

    def __init__(self, name: str, texts: Mapping[str, str]) -> None:
        self.name = name
        self.texts = texts

    def emit(self, sink: Sink) -> None:
        for path, text in self.texts.items():
            add_text(sink, path, text)
        changelog = debian_changelog(self.name, FIELDS["Version"], FIELDS["Maintainer"], DATE, "First.")
        documentation(sink, self.name, copyright_text=COPYRIGHT, changelog=changelog)


def build(folder: Path, name: str, texts: Mapping[str, str], compression: Compression = "zstd") -> Path:
    path = folder / f"{name}_1.0-1~test_all.deb"
    control = Control({"Package": name, **FIELDS})
    write_deb(path, Files(name, texts), lambda _: control, date=DATE, compression=compression)
    return path


@pytest.fixture(scope="module")
def version() -> str:
    return Lintian.find("debian", Path("/nowhere")).version


@pytest.fixture
def lintian(tmp_path: Path, version: str) -> Lintian:
    return Lintian("debian", tmp_path / "cache", version)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, version: str) -> dict[str, Verdict]:
    """Packages that are judged together, because starting lintian is what takes the time."""
    folder = tmp_path_factory.mktemp("judged")
    told = "# Nobody has git here.\ntold: package-contains-vcs-control-file\n"
    let_me = "# Let me.\nlet-me: dir-or-file-in-opt\n"
    debs = [
        *(build(folder, f"good-{kind}", {f"/usr/share/good-{kind}/a": "a\n"}, kind) for kind in get_args(Compression)),
        build(folder, "bad", {"/usr/local/bin/bad": "bad\n", "/usr/share/bad/.gitignore": "x\n"}),
        build(folder, "told", {"/usr/share/told/.gitignore": "x\n", "/usr/share/lintian/overrides/told": told}),
        build(folder, "let-me", {"/opt/let-me": "x\n", "/usr/share/lintian/overrides/let-me": let_me}),
    ]
    notes = Notes()
    verdicts = Lintian("debian", folder / "cache", version).judge(debs, jobs=1, watcher=notes)
    assert [verdict.deb for verdict in verdicts] == debs
    assert notes.stages == [("lint", 5)]
    assert set(notes.steps) == {deb.name for deb in debs}
    return {verdict.deb.name.partition("_")[0]: verdict for verdict in verdicts}


@pytest.mark.parametrize("compression", get_args(Compression))
def test_a_package_without_fault_has_no_findings(judged: dict[str, Verdict], compression: Compression) -> None:
    assert judged[f"good-{compression}"].findings == ()


def test_errors_and_warnings_are_told_apart(judged: dict[str, Verdict]) -> None:
    verdict = judged["bad"]
    errors = [str(issue) for issue in verdict.errors()]
    assert any(f"{verdict.deb}: usr/local/bin/bad: error file-in-usr-local" in error for error in errors)
    assert any("lintian-explain-tags file-in-usr-local" in error for error in errors)
    assert "warning package-contains-vcs-control-file" in {issue.problem for issue in verdict.warnings()}
    assert not any("file-in-usr-local" in issue.problem for issue in verdict.warnings())


def test_an_override_counts_with_its_reason(judged: dict[str, Verdict]) -> None:
    verdict = judged["told"]
    assert [finding.reason for finding in verdict.findings] == ["Nobody has git here."]
    assert (verdict.errors(), verdict.warnings()) == ((), ())


def test_an_override_of_what_must_never_be_overridden_is_an_error(judged: dict[str, Verdict]) -> None:
    assert ["must never be overridden" in issue.problem for issue in judged["let-me"].errors()] == [True]


def test_a_verdict_is_kept_until_package_lintian_or_profile_are_others(
    tmp_path: Path, lintian: Lintian, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = build(tmp_path, "kept", {"/usr/share/kept/.gitignore": "x\n"})
    verdicts = lintian.judge([deb], jobs=1, watcher=Notes())
    assert verdicts[0].findings == (
        Finding("package-contains-vcs-control-file", "warning", "usr/share/kept/.gitignore"),
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    told = Notes()
    assert lintian.judge([deb], jobs=1, watcher=told) == verdicts
    assert told.steps == []
    for other in (
        Lintian("debian", lintian.cache, "0"),
        Lintian("ubuntu", lintian.cache, lintian.version),
        Lintian("debian", tmp_path / "elsewhere", lintian.version),
    ):
        with pytest.raises(FileNotFoundError):
            other.judge([deb], jobs=1, watcher=Notes())
    build(tmp_path, "kept", {})
    with pytest.raises(FileNotFoundError):
        lintian.judge([deb], jobs=1, watcher=Notes())


def test_what_is_no_package_is_told(tmp_path: Path, lintian: Lintian) -> None:
    garbage = tmp_path / "garbage_1_all.deb"
    garbage.write_bytes(gzip.compress(b"no package"))
    with pytest.raises(InputError, match=r"garbage_1_all\.deb: lintian cannot read the package"):
        lintian.judge([garbage], jobs=1, watcher=Notes())
    with pytest.raises(InputError, match="No such file"):
        lintian.judge([tmp_path / "missing_1_all.deb"], jobs=1, watcher=Notes())


def test_lintian_itself_may_be_missing_or_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OutsideError, match="apt-get install lintian"):
        Lintian.find("debian", tmp_path)
    program = tmp_path / "lintian"
    program.write_text("#!/bin/sh\necho it broke >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(OutsideError, match="it broke"):
        Lintian.find("debian", tmp_path)
    deb = build(tmp_path, "any", {})
    with pytest.raises(OutsideError, match="it broke"):
        Lintian("debian", tmp_path / "cache", "1").judge([deb], jobs=1, watcher=Notes())


def test_large_packages_are_judged_alone_and_small_ones_together(
    tmp_path: Path, lintian: Lintian, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[str]] = []

    def run(_: Lintian, hashes: Mapping[Path, str]) -> list[Verdict]:
        batches.append([deb.name.partition("_")[0] for deb in hashes])
        return [Verdict(deb, sha256, ()) for deb, sha256 in hashes.items()]

    monkeypatch.setattr(Lintian, "_run", run)
    monkeypatch.setattr("debtool.stack.lint._LARGE", 4000)
    monkeypatch.setattr("debtool.stack.lint._BATCH", 2)
    names = ["small-a", "big-b", "small-c", "small-d", "big-e"]
    debs = [build(tmp_path, name, {f"/usr/share/{name}/x": _noise(name) if "big" in name else "x\n"}) for name in names]
    verdicts = lintian.judge(debs, jobs=2, watcher=Notes())
    assert [verdict.deb for verdict in verdicts] == debs
    assert sorted(map(len, batches)) == [1, 1, 1, 2]
    assert all(len(batch) == 1 for batch in batches if "big" in batch[0])


def _noise(seed: str) -> str:
    """Return text that does not compress below 4000 bytes."""
    return "".join(f"{hashlib.sha256(f'{seed}{number}'.encode()).hexdigest()}\n" for number in range(200))
