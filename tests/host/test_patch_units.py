"""Which folders a patch package's path units watch beside the usual ones."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from debtool.host.patcher import units
from debtool.host.patcher.files import Tree
from debtool.host.patcher.recipe import parse
from tests.support.patches import gradio

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = parse(gradio(), "patch.json")


def environment(root: Path, path: str, *, copy: bool = False) -> str:
    """Make a virtual environment and return its folder of packages, as the machine names it."""
    site = f"{path}/lib/python3.12/site-packages"
    inside = root / site.lstrip("/")
    inside.mkdir(parents=True)
    (root / path.lstrip("/") / "pyvenv.cfg").touch()
    if copy:
        (inside / "gradio_client").mkdir()
        (inside / "gradio_client/utils.py").touch()
    return site


def configure(root: Path, *lines: str) -> None:
    folder = root / "etc/cheesegrater/gradio-patch.d"
    folder.mkdir(parents=True)
    (folder / "a.conf").write_text("\n".join(lines))


def found(root: Path, *usual: str) -> list[str]:
    return units.found(RECIPE, Tree(str(root)), "/home/ada", usual)


def test_every_environment_that_the_configuration_leads_to(tmp_path: Path) -> None:
    one, two = environment(tmp_path, "/opt/one"), environment(tmp_path, "/srv/a/two", copy=True)
    usual = "/usr/local/lib/python3.12/dist-packages"
    for folder in (usual, "/usr/lib/python3/dist-packages"):
        (tmp_path / folder.lstrip("/")).mkdir(parents=True)
    configure(
        tmp_path,
        "root = /opt/*",
        "search = /srv",
        "root = /usr/local/lib/python3*/dist-packages",
        "root = /usr/lib/python3*/dist-packages",
        "root = /opt/gone",
    )
    # Those with a copy first; dpkg's triggers tell of /usr/lib.
    assert found(tmp_path) == [two, one, usual]
    assert found(tmp_path, usual) == [two, one]


def test_names_that_would_be_lines_of_the_unit_are_left_out(tmp_path: Path) -> None:
    environment(tmp_path, "/srv/a\n[Service]\nExecStart=evil")
    fine = environment(tmp_path, "/srv/100% fine")
    configure(tmp_path, "search = /srv")
    assert found(tmp_path) == [fine]
    assert units.drop_in([fine]) == "[Path]\nPathChanged=/srv/100%% fine/lib/python3.12/site-packages\n"


def test_a_machine_with_many_environments_keeps_some_watchers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(units.LIMIT + 5):
        environment(tmp_path, f"/srv/{number:02}")
    with_copy = environment(tmp_path, "/srv/zz", copy=True)
    configure(tmp_path, "search = /srv")
    folders = found(tmp_path)
    assert (len(folders), folders[0]) == (units.LIMIT, with_copy)
    assert f"{units.LIMIT} of them are watched" in capsys.readouterr().err


def test_folders_that_another_user_owns_are_his_matter(open_path: Path) -> None:
    own, other = environment(open_path, "/srv/own"), environment(open_path, "/srv/other")
    (open_path / own.lstrip("/")).chmod(0o777)
    (open_path / other.lstrip("/")).chmod(0o555)
    configure(open_path, "root = /srv/*")
    who = os.geteuid()
    if who == 0:
        os.seteuid(65534)
    try:
        assert found(open_path) == [own]
    finally:
        os.seteuid(who)


def test_the_drop_in_is_written_when_it_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "x.path.d/50-found.conf"
    # Nothing found needs no file; what is gone again needs one that says so.
    assert not units.update(str(file), units.drop_in([]))
    assert not file.exists()
    assert units.update(str(file), units.drop_in(["/a"]))
    assert not units.update(str(file), units.drop_in(["/a"]))
    assert units.update(str(file), units.drop_in([]))
    assert file.read_text() == "[Path]\n"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_systemd_reads_it_only_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tmp_path / "calls"
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{systemctl.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(units, "Tree", lambda _: Stranger(str(tmp_path)))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    environment(tmp_path, "/srv/one")
    configure(tmp_path, "search = /srv")
    assert units.follow(RECIPE, ()) == 0
    unit = "cheesegrater-gradio-patch.path"
    told = f"--user daemon-reload\n--user --no-block try-restart {unit}\n"
    assert calls.read_text() == told
    assert (tmp_path / f"run/systemd/user/{unit}.d/50-found.conf").read_text().count("PathChanged=") == 1
    assert units.follow(RECIPE, ()) == 0
    assert calls.read_text() == told


class Stranger(Tree):
    """The tree as a user sees it who is not root."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.user = 1000


def test_a_wrong_configuration_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["follow"])
    with pytest.raises(SystemExit) as ended:
        units.run(str(tmp_path / "patch.json"))
    assert ended.value.code == 3
    assert "cannot be read" in capsys.readouterr().err
