"""Copies are found where the configuration says, and what is installed there is understood."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from debtool.host.patcher import versions
from debtool.host.patcher.configuration import parse as parse_configuration
from debtool.host.patcher.configuration import read
from debtool.host.patcher.errors import UsageError
from debtool.host.patcher.files import Folder, Tree
from debtool.host.patcher.places import Places
from debtool.host.patcher.recipe import parse
from tests.support.patches import gradio, tiny

RECIPE = parse(gradio(), "patch.json")
FILE = "gradio_client/utils.py"
UNLESS = "a component of one's own says whether its model allows extra fields"


class Land:
    """A root with copies in many places."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = Tree(str(root))

    def copy(self, site: str) -> None:
        file = self.root / site.lstrip("/") / FILE
        file.parent.mkdir(parents=True)
        file.touch()

    def environment(self, path: str, *, mark: str = "pyvenv.cfg", python: bool = True) -> str:
        top = self.root / path.lstrip("/")
        self.copy(f"{path}/lib/python3.12/site-packages")
        (top / mark).touch()
        if python:
            (top / "bin").mkdir()
            (top / "bin/python").touch(mode=0o755)
        return f"{path}/lib/python3.12/site-packages/{FILE}"

    def find(self, *lines: str) -> list[str]:
        places = Places(self.tree, FILE, "/home/ann")
        return [copy.path for copy in places.find(parse_configuration("\n".join(lines), "x.conf"))]


@pytest.fixture
def land(tmp_path: Path) -> Land:
    return Land(tmp_path)


class TestConfiguration:
    def test_entries_of_all_files_in_order(self, land: Land) -> None:
        folder = land.root / "etc/x"
        folder.mkdir(parents=True)
        (folder / "20-b.conf").write_text("search = /srv\n")
        (folder / "10-a.conf").write_text("# a comment\n\n  root=/usr/*/lib \npath = ~/é/utils.py\n")
        (folder / "no.txt").write_text("nonsense")
        assert [(entry.key, entry.value, entry.of_user) for entry in read(land.tree, "/etc/x")] == [
            ("root", "/usr/*/lib", False),
            ("path", "~/é/utils.py", True),
            ("search", "/srv", False),
        ]
        assert read(land.tree, "/etc/none") == []

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("root: /srv", "expected 'KEY = VALUE'"),
            ("roots = /srv", "one of the keys root, search, path"),
            ("root = srv", "expected an absolute path"),
            ("root =", "expected an absolute path"),
            ("root = ~ann/venv", "or one below ~/"),
            ("root = /srv/../etc", r"without '\.\.'"),
            ("[section]", "expected 'KEY = VALUE'"),
        ],
    )
    def test_a_wrong_line_is_told_with_file_and_number(self, line: str, why: str) -> None:
        with pytest.raises(UsageError, match=rf"^a.conf, line 2: .*{why}"):
            parse_configuration(f"root = /srv\n{line}\n", "a.conf")

    def test_a_file_that_is_no_text(self, land: Land) -> None:
        folder = land.root / "etc/x"
        folder.mkdir(parents=True)
        (folder / "a.conf").write_bytes(b"root = /\xff\n")
        with pytest.raises(UsageError, match=r"/etc/x/a.conf: not UTF-8.*fix: "):
            read(land.tree, "/etc/x")
        (folder / "a.conf").unlink()
        (folder / "a.conf").mkdir()
        with pytest.raises(UsageError, match=r"/etc/x/a.conf: cannot be read"):
            read(land.tree, "/etc/x")


class TestFinding:
    def test_folders_of_packages(self, land: Land) -> None:
        for site in ("/usr/lib/python3/dist-packages", "/usr/local/lib/python3.12/dist-packages"):
            land.copy(site)
        (land.root / "usr/local/lib/python3.11/dist-packages").mkdir(parents=True)
        assert land.find(
            "root = /usr/lib/python3/dist-packages", "root = /usr/local/lib/python3*/dist-packages", "root = /nowhere/*"
        ) == [f"/usr/lib/python3/dist-packages/{FILE}", f"/usr/local/lib/python3.12/dist-packages/{FILE}"]

    def test_environments(self, land: Land) -> None:
        paths = [land.environment("/srv/a"), land.environment("/srv/b", mark="conda-meta")]
        land.copy("/srv/c/lib/python3.12/site-packages")
        assert land.find("root = /srv/*") == paths
        assert land.find("root = /srv/a", "root = /srv/a") == paths[:1], "each once"

    def test_a_search_goes_five_folders_down_and_follows_no_link(self, land: Land) -> None:
        found = [
            land.environment("/srv/.venv"),
            land.environment("/srv/1/2/3/4/5"),
            land.environment("/srv/conda", mark="conda-meta"),
            land.environment("/srv/conda/envs/x", mark="conda-meta"),
        ]
        land.environment("/srv/1/2/3/4/6/7")
        land.environment("/srv/.git/hidden")
        land.environment("/srv/conda/share/inside")
        outside = land.environment("/other/venv")
        (land.root / "srv/link").symlink_to("/other")
        assert sorted(land.find("search = /srv")) == sorted(found)
        assert land.find("search = /other") == [outside]

    @pytest.mark.root
    def test_a_search_enters_no_other_file_system(self, land: Land, tmp_path: Path) -> None:
        land.environment("/srv/a")
        (land.root / "srv/mounted").mkdir()
        script = (
            f"mount -t tmpfs none {tmp_path}/srv/mounted && mkdir -p {tmp_path}/srv/mounted/v/lib/python3.12/"
            f"site-packages/gradio_client && touch {tmp_path}/srv/mounted/v/pyvenv.cfg "
            f'{tmp_path}/srv/mounted/v/lib/python3.12/site-packages/{FILE} && exec "$@"'
        )
        code = (
            "import sys; from pathlib import Path; from tests.host import test_patch_places as t;"
            f"print(len(t.Land(Path({str(tmp_path)!r})).find('search = /srv')),"
            f"len(t.Land(Path({str(tmp_path)!r})).find('search = /srv/mounted')))"
        )
        command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "1 1\n"

    def test_a_named_copy_need_not_be_there(self, land: Land) -> None:
        assert land.find("path = /none/gradio_client/utils.py") == ["/none/gradio_client/utils.py"]

    def test_root_takes_no_entry_of_a_users(self, land: Land) -> None:
        path = land.environment("/home/ann/venv")
        found = land.find("root = ~/venv")
        assert found == ([] if os.geteuid() == 0 else [path])

    def test_every_folder_that_decided_is_remembered(self, land: Land) -> None:
        land.environment("/srv/a")
        places = Places(land.tree, FILE, "/home/ann")
        places.find(parse_configuration("search = /srv\nroot = /none\nroot = /opt/*", "x"))
        looked = {path for path, status in places.looked.items() if status is not None}
        assert {"/srv", "/srv/a", "/srv/a/lib", "/srv/a/lib/python3.12/site-packages"} <= looked
        assert {path for path, status in places.looked.items() if status is None} == {"/none", "/opt"}

    def test_interpreters(self, land: Land) -> None:
        for program in ("usr/bin/python3.12", "usr/local/bin/python3.11", "opt/py/bin/python3.10", "usr/bin/python3"):
            (land.root / program).parent.mkdir(parents=True, exist_ok=True)
            (land.root / program).touch(mode=0o755)
        places = Places(land.tree, FILE, "/home/ann")
        land.environment("/srv/a")
        for site, python in (
            ("/srv/a/lib/python3.12/site-packages", "/srv/a/bin/python"),
            ("/usr/local/lib/python3.12/dist-packages", "/usr/bin/python3.12"),
            ("/usr/local/lib/python3.11/dist-packages", "/usr/local/bin/python3.11"),
            ("/usr/lib/python3/dist-packages", "/usr/bin/python3"),
            ("/home/ann/.local/lib/python3.12/site-packages", "/usr/bin/python3.12"),
            ("/opt/py/lib/python3.10/site-packages", "/opt/py/bin/python3.10"),
            ("/usr/local/lib/python3.9/dist-packages", None),
            ("/somewhere", None),
        ):
            assert places.python(f"{site}/{FILE}") == python, site

    def test_a_real_environment(self, tmp_path: Path) -> None:
        venv.create(tmp_path / "v", symlinks=True)
        site = next((tmp_path / "v/lib").glob("python3*")) / "site-packages"
        (site / "tinywords.py").touch()
        places = Places(Tree("/"), parse(tiny(), "p").file, str(Path.home()))
        copies = places.find(parse_configuration(f"search = {tmp_path}", "x"))
        assert [(copy.path, copy.environment) for copy in copies] == [(f"{site}/tinywords.py", f"{tmp_path}/v")]
        assert copies[0].python == f"{tmp_path}/v/bin/python"


class TestVersions:
    @pytest.mark.parametrize(
        ("version", "answer"),
        [
            ("0.6.1", False), ("0.7.0", True), ("0.7", True), ("1.2.0", True), ("1.7.2.post1", True), ("1.8", False),
            ("1.8.0", False), ("1.8.0b1", False), ("2.0.0-dev.3", False), ("1.10.0", False), ("0.7.0.0", True),
            ("1!1.2", True), ("unknown", True), ("0.10.1+local", True),
        ],
    )  # fmt: skip
    def test_affected(self, version: str, answer: bool) -> None:  # noqa: FBT001 -- a parameter of the test
        assert versions.affected(RECIPE, version) is answer

    @pytest.mark.parametrize(
        ("version", "answer"), [("0.1", True), ("1.0", False), ("2.0", True), ("2.0.9", True), ("2.1", False)]
    )
    def test_several_ranges(self, version: str, answer: bool) -> None:  # noqa: FBT001 -- a parameter of the test
        assert versions.affected(parse(tiny(), "p"), version) is answer

    def test_mended_upstream(self) -> None:
        assert [versions.mended_upstream(RECIPE, version) for version in ("0.6", "1.2", "1.8", "x")] == [
            False, False, True, False,
        ]  # fmt: skip

    @staticmethod
    def read(folder: Path, distribution: str = "gradio_client") -> versions.Installed:
        with Folder.at(str(folder)) as site:
            return versions.installed(site, distribution, FILE)

    def test_what_an_installer_leaves(self, tmp_path: Path) -> None:
        assert self.read(tmp_path) == versions.Installed(None)
        info = tmp_path / "Gradio_Client-1.2.0.dist-info"
        info.mkdir()
        assert self.read(tmp_path) == versions.Installed("1.2.0", info.name)
        (info / "INSTALLER").write_text("pip\n")
        assert not self.read(tmp_path).whole, "pip writes RECORD last"
        digest = hashlib.sha256(b"x")
        listed = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        (info / "RECORD").write_text(f"other.py,,\n{FILE},sha256={listed},1\n")
        assert self.read(tmp_path) == versions.Installed("1.2.0", info.name, whole=True, recorded=digest.hexdigest())
        (tmp_path / "gradio_client-1.3.0.dist-info").mkdir()
        assert self.read(tmp_path) == versions.Installed(None), "two at once say nothing"

    @pytest.mark.parametrize("installer", ["dpkg", "debian", "conda"])
    def test_packages_of_a_distribution_have_no_record(self, tmp_path: Path, installer: str) -> None:
        info = tmp_path / "gradio_client-1.2.0.dist-info"
        info.mkdir()
        (info / "INSTALLER").write_text(installer)
        assert self.read(tmp_path).whole

    def test_eggs(self, tmp_path: Path) -> None:
        (tmp_path / "gradio_client-1.2.0-py3.12.egg-info").touch()
        assert self.read(tmp_path).version == "1.2.0"
        (tmp_path / "words.egg-info").mkdir()
        assert self.read(tmp_path, "words") == versions.Installed(None, "words.egg-info", whole=True)

    def test_names_are_compared_normalised(self, tmp_path: Path) -> None:
        (tmp_path / "jaraco.classes-1.0.dist-info").mkdir()
        (tmp_path / "jaraco_classes_more-2.0.dist-info").mkdir()
        assert self.read(tmp_path, "jaraco-classes").version == "1.0"

    def test_the_packages_own_word_where_there_is_no_other(self, tmp_path: Path) -> None:
        (tmp_path / "gradio_client").mkdir()
        file = tmp_path / "gradio_client/package.json"
        for text, version in (('{"version": "1.2.0"}', "1.2.0"), ('{"version": 3}', None), ("[]", None), ("{", None)):
            file.write_text(text)
            assert self.read(tmp_path).version == version

    @pytest.mark.parametrize(
        ("pydantic", "answer", "why"),
        [
            ("2.11.10", True, "needed: pydantic 2.11.10 is 2.11 or later"),
            ("2.10.6", False, f"not needed at present: pydantic 2.10.6 is before 2.11, unless {UNLESS}"),
            (None, None, "needed with pydantic 2.11 or later; which one is used here is not known"),
        ],
    )
    def test_needed(self, tmp_path: Path, pydantic: str | None, answer: bool | None, why: str) -> None:  # noqa: FBT001
        if pydantic:
            (tmp_path / f"pydantic-{pydantic}.dist-info").mkdir()
        (tmp_path / "pydantic_core-2.33.2.dist-info").mkdir()
        with Folder.at(str(tmp_path)) as site:
            assert versions.needed(RECIPE, site) == (answer, why)
            assert versions.needed(parse(tiny(), "p"), site)[0] is True
