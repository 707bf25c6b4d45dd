"""What packages run on machines: maintainer scripts, launchers and the lines that users paste."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.audit.environment import variables
from debtool.deb.contents import Contents
from debtool.deb.reader import iter_data
from debtool.model.shipped import shipped
from debtool.model.stack import Stack, TreePackage, parse_stack
from debtool.model.target import AptSource, Rocm, Target
from debtool.model.versions import DebianVersion
from debtool.stack.draft import Build, StackDraft
from debtool.stack.onboarding import onboarding_lines
from debtool.stack.patches import stack_patches
from debtool.stack.project import open_project
from debtool.stack.recipes.keyring import KeyringDraft, VendorKey
from debtool.stack.recipes.patch import PatchDraft
from debtool.stack.recipes.tree import TreeDraft
from tests.support.drafts import target
from tests.support.workshops import STACK

if TYPE_CHECKING:
    from typing import IO

    from tests.support.workshops import Workshop

SOURCE = AptSource(
    uri="https://vendor.example.org/apt",
    suite="noble",
    fingerprint="A" * 40,
    key_uri="https://vendor.example.org/key",
    pin=600,
    pin_origin="vendor.example.org",
)
BUILD = Build(DebianVersion("1-1"), {}, 0, "key")


class Files:
    """A sink that keeps what it is offered."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}

    def add_file(self, path: str, stream: IO[bytes], size: int, *, mode: int = 0o644) -> None:  # noqa: ARG002
        self.texts[path] = stream.read()

    def add_directory(self, path: str) -> None: ...

    def add_symlink(self, path: str, target: str) -> None: ...


def emitted(draft: StackDraft) -> dict[str, str]:
    files = Files()
    # The exact packages are not asked for by emit.
    draft.emit(files, BUILD)  # type: ignore[arg-type]
    return {path: data.decode() for path, data in files.texts.items() if not path.endswith(".gz")}


def stack(text: str = STACK) -> Stack:
    return parse_stack(text, Path("stack.toml"))


def draft(kind: type[StackDraft], whole: Stack, recipe: str, where: Target | None = None, **more: object) -> StackDraft:
    package = next(package for package in whole.package if package.recipe == recipe)
    name = whole.full_name(package.name)
    package = package.model_copy(update={"needs": ()})
    return kind(stack=whole, target=where or target(), name=name, upstream="1", package=package, **more)  # type: ignore[arg-type]


def app(text: str = STACK, where: Target | None = None) -> StackDraft:
    return draft(TreeDraft, stack(text), "tree", where, files=())


def keyring(*vendors: VendorKey) -> StackDraft:
    return draft(KeyringDraft, stack(), "keyring", key_bytes=b"key", stanza="Types: deb\n", vendors=vendors)


def scripts() -> dict[str, str]:
    """Return every shell script that packages of the small stack and of the shipped ones carry."""
    found: dict[str, str] = {}
    drafts = [("acme", app()), ("acme", keyring()), ("acme bare", app(STACK.replace('["models", "outputs"]', "[]")))]
    for name in ("demo", "cheesegrater"):
        project = open_project(shipped(f"repo/{name}.toml"))
        [one_patch] = stack_patches(project)
        drafts += [
            (name, draft(TreeDraft, project.stack, "tree", files=())),
            (name, draft(PatchDraft, project.stack, "patch", patch=one_patch.patch)),
        ]
    for name, one in drafts:
        control = one.control(BUILD, Contents(()))
        found |= {f"{name} {one.recipe} {script}": text for script, text in control.scripts.items()}
        if isinstance(one, TreeDraft):
            launcher = next(text for path, text in emitted(one).items() if path.startswith("/usr/bin/"))
            found[f"{name} {one.recipe} launcher"] = launcher
    return found


SCRIPTS = scripts()


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_scripts_are_shell_that_its_checker_finds_nothing_in(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(SCRIPTS[name])
    assert SCRIPTS[name].startswith("#!/bin/sh\n")
    assert "set -e" in SCRIPTS[name].splitlines()[1:4] or "set -eu" in SCRIPTS[name]
    subprocess.run(["sh", "-n", script], check=True)
    checked = subprocess.run(["shellcheck", "--shell=dash", script], capture_output=True, text=True, check=False)
    assert checked.stdout == ""


@pytest.mark.parametrize("name", [name for name in sorted(SCRIPTS) if "launcher" not in name])
def test_maintainer_scripts_refuse_an_unknown_call_but_for_prerm(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(SCRIPTS[name])
    done = subprocess.run(["sh", script, "no-such-call"], capture_output=True, text=True, check=False)
    assert (done.returncode, "unknown argument" in done.stderr) == ((0, False) if "prerm" in name else (1, True))


def test_a_service_runs_what_the_stack_says() -> None:
    files = emitted(app())
    unit = files["/usr/lib/systemd/system/acme-app.service"]
    assert (
        "ExecStart=/usr/lib/acme/venv/bin/python3 -u /usr/share/acme/app/main.py --state /var/lib/acme-app"
        " --title 'two words' --port ${PORT} $ARGUMENTS\n"
    ) in unit
    assert 'Environment="ACME_TREE=/usr/share/acme/app"\nEnvironment="ACME_TITLE=two words"\n' in unit
    assert "User=acme-app\n" in unit
    assert "PORT=8080\n" in files["/etc/acme/app.conf"]


def test_a_services_journal_tells_what_a_patch_that_restarts_it_could_not_do() -> None:
    project = open_project(shipped("repo/cheesegrater.toml"))
    unit = emitted(draft(TreeDraft, project.stack, "tree", files=()))[
        "/usr/lib/systemd/system/cheesegrater-forge.service"
    ]
    before, _, _ = unit.partition("\nExecStart=")
    # "-": the service starts all the same.
    assert before.endswith("\nExecStartPre=-+/usr/sbin/cheesegrater-gradio-patch status --problems")
    assert "ExecStartPre" not in emitted(app())["/usr/lib/systemd/system/acme-app.service"]


def test_a_service_inherits_no_variable_that_makes_libraries_execute_what_its_cpu_lacks() -> None:
    files = emitted(app())
    harmful = {name for one in variables() if one.effect in ("forces", "stops") for name in one.names}
    unit = files["/usr/lib/systemd/system/acme-app.service"]
    unset = next(line for line in unit.splitlines() if line.startswith("UnsetEnvironment="))
    assert set(unset.partition("=")[2].split()) == harmful
    launcher = next(text for path, text in files.items() if path.startswith("/usr/bin/"))
    unset = next(line for line in launcher.splitlines() if line.strip().startswith("unset "))
    assert set(unset.split()[1:]) == harmful


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    unit = tmp_path / "acme-app.service"
    text = emitted(app())["/usr/lib/systemd/system/acme-app.service"]
    unit.write_text(text.replace("/usr/lib/acme/venv/bin/python3", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "acme-app" in line] == []


def purge(tmp_path: Path, text: str = STACK) -> tuple[Path, str]:
    """Run postrm purge with the state folder in ``tmp_path`` and everything of the system replaced by nothing."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    for tool in ("chown", "deluser", "systemctl", "deb-systemd-helper", "getent"):
        (tools / tool).write_text("#!/bin/sh\nexit 1\n" if tool == "getent" else "#!/bin/sh\nexit 0\n")
        (tools / tool).chmod(0o755)
    state = tmp_path / "state"
    script = app(text).control(BUILD, Contents(())).scripts["postrm"].replace("/var/lib/acme-app", str(state))
    done = subprocess.run(
        ["sh", "-s", "purge"],
        input=script,
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return state, done.stderr


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for name in ("models/a/model.bin", "outputs/empty", "cache/x", ".config/y", "settings.json"):
        path = tmp_path / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if "empty" in name else "data")
    return tmp_path / "state"


def test_purging_keeps_the_users_own_work_only(tmp_path: Path, state: Path) -> None:
    _, said = purge(tmp_path)
    left = sorted(str(path.relative_to(state)) for path in state.rglob("*") if path.is_file())
    assert left == ["models/a/model.bin"]
    assert f"kept your files in {state}: models" in said


def test_purging_takes_everything_where_nothing_is_kept_or_the_user_said_so(tmp_path: Path, state: Path) -> None:
    (state / "purge-everything").touch()
    assert purge(tmp_path) == (state, "")
    assert not state.exists()
    (state / "cache").mkdir(parents=True)
    (state / "cache/x").write_text("data")
    assert purge(tmp_path, STACK.replace('["models", "outputs"]', "[]")) == (state, "")
    assert not state.exists()


def keyring_script(tmp_path: Path, name: str, *arguments: str) -> None:
    control = keyring().control(BUILD, Contents(()))
    text = dict(control.scripts)[name]  # type: ignore[index]
    for folder in ("/etc/apt", "/usr/share", "/var/lib"):
        text = text.replace(folder, f"{tmp_path}{folder}")
    subprocess.run(["sh", "-s", *arguments], input=text, text=True, check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the sources file of a machine on which the keyring package is unpacked."""
    shipped_file = tmp_path / "usr/share/acme-archive-keyring/acme.sources"
    source = tmp_path / "etc/apt/sources.list.d/acme.sources"
    for path in (shipped_file, source):
        path.parent.mkdir(parents=True)
    shipped_file.write_text("one\n")
    (tmp_path / "var/lib").mkdir(parents=True)
    return source


def test_the_keyring_writes_its_source_and_keeps_it_up_to_date(tmp_path: Path, machine: Path) -> None:
    keyring_script(tmp_path, "postinst", "configure", "")
    assert machine.read_text() == "one\n"
    assert machine.stat().st_mode & 0o777 == 0o644
    (tmp_path / "usr/share/acme-archive-keyring/acme.sources").write_text("two\n")
    keyring_script(tmp_path, "postinst", "configure", "1-1")
    assert machine.read_text() == "two\n"
    keyring_script(tmp_path, "postrm", "remove")
    assert not machine.exists()
    keyring_script(tmp_path, "postrm", "purge")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "usr/share" not in str(path)] == []


def test_the_keyring_leaves_a_source_alone_that_the_administrator_wrote(tmp_path: Path, machine: Path) -> None:
    machine.write_text("mine\n")
    keyring_script(tmp_path, "postinst", "configure", "")
    keyring_script(tmp_path, "postinst", "configure", "1-1")
    assert machine.read_text() == "mine\n"
    keyring_script(tmp_path, "postrm", "upgrade", "2")
    assert machine.read_text() == "mine\n"
    keyring_script(tmp_path, "postrm", "remove")
    assert not machine.exists()
    assert machine.with_name("acme.sources.save").read_text() == "mine\n"


def test_a_vendors_source_key_and_pin() -> None:
    files = emitted(keyring(VendorKey("rocm", SOURCE, b"vendor's key")))
    assert files["/usr/share/keyrings/acme-rocm-keyring.gpg"] == "vendor's key"
    stanza = files["/etc/apt/sources.list.d/acme-rocm.sources"]
    assert "Signed-By: /usr/share/keyrings/acme-rocm-keyring.gpg\n" in stanza
    assert "URIs: https://vendor.example.org/apt\nSuites: noble\nComponents: main\n" in stanza
    pin = files["/etc/apt/preferences.d/acme-rocm"]
    assert "Package: *\nPin: release o=vendor.example.org\nPin-Priority: 600\n" in pin


def test_the_lines_that_a_user_pastes_are_shell(workshop: Workshop) -> None:
    archive = workshop.release().archive
    request = workshop.request()
    tree = [package for package in request.project.stack.package if isinstance(package, TreePackage)]
    assert tree
    for where in (
        request.target,
        request.target.model_copy(update={"rocm": Rocm(release="6.3.4", gpu="gfx1030", sonames={}, source=SOURCE)}),
    ):
        lines = onboarding_lines(request.project.stack, where, archive, "here-stable", "http://192.0.2.1:8808/")
        subprocess.run(["sh", "-n"], input="\n".join(lines), text=True, check=True)
        subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, check=True)
        assert lines[-1] == "apt-get install -y acme-app"
        assert ("apt-get install -y acme-archive-keyring" in lines) == (where.rocm is not None)
        stanza = lines[lines.index("cat > /etc/apt/sources.list.d/acme.sources <<'END'") + 1 : lines.index("END")]
        assert "URIs: http://192.0.2.1:8808/" in stanza
        assert "Signed-By: /usr/share/keyrings/acme-archive-keyring.gpg" in stanza
        # The check of the key's hash comes before the name that apt reads it under.
        assert [line.split()[0] for line in lines[:2]] == ["curl", "echo"]
        assert "| sha256sum --check --quiet && mv " in lines[1]
    # The package writes the very same stanza: two different ones for one archive stop apt.
    data = {entry.path: stream.read() for entry, stream in iter_data(workshop.debs()["acme-archive-keyring"]) if stream}
    shipped_text = data["/usr/share/acme-archive-keyring/acme.sources"].decode()
    lines = onboarding_lines(request.project.stack, request.target, archive, "here-stable", request.url)
    assert f"<<'END'\n{shipped_text}END\n" in "\n".join(lines)
