"""A stand-in for Ubuntu 24.04 where no Ubuntu archive is at hand.

It is Debian trixie, which made the same t64 renamings, with a ``python3.12`` package made of a CPython 3.12 of this
machine; and the full stack's packages for noble, with stand-ins where noble's own are out of reach: torch and
torchvision, which are distributions without a module, and Forge's tree, which is the stand-in application.
"""

from __future__ import annotations

import functools
import io
import json
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.archive import Archive
from debtool.archive.serve import Server
from debtool.build.image import USUAL_PACKAGES, RootImage
from debtool.deb.control import Control
from debtool.deb.writer import write_deb
from debtool.elf.needs import read_needs
from debtool.model.errors import OutsideError
from debtool.stack.assemble import assemble, audited_wheels
from debtool.stack.make import make_packages
from debtool.stack.onboarding import claim_for
from debtool.stack.plan import plan_packages
from debtool.stack.project import open_project
from debtool.stack.release import ArchiveHistory, Request, archive_config
from debtool.stack.store import Store
from debtool.wheel.bytecode import find_interpreter
from tests.support.drafts import Notes
from tests.support.stacks import REPOSITORY, copy_definitions
from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.build.root import Root
    from debtool.deb.contents import Contents
    from debtool.deb.payload import Sink
    from debtool.stack.project import Project
    from debtool.stack.prove import Claim

SUITE = "noble-stable"
MULTIARCH = "x86_64-linux-gnu"

# Parts of CPython that Ubuntu has in packages of their own (python3-tk, idle, python3.12-venv, python3-lib2to3,
# libpython3.12-testsuite, libpython3.12-dev), which nothing of ours depends on.
_ELSEWHERE = frozenset(
    ["tkinter", "turtle.py", "turtledemo", "idlelib", "ensurepip", "lib2to3", "test", "site-packages", "dist-packages"]
)
_LEFT_OUT = re.compile(r"(?:_tkinter|_test\w*|_ctypes_test|_xx\w+|xx\w*)\..*\.so|.*\.a|.*\.pyc")

# The packages of trixie that have what CPython is linked with.
_PYTHON_LIBRARIES = {
    "libbz2.so.1.0": "libbz2-1.0",
    "libcrypt.so.1": "libcrypt1",
    "libcrypto.so.3": "libssl3t64",
    "libdb-5.3.so": "libdb5.3t64",
    "libexpat.so.1": "libexpat1",
    "libffi.so.8": "libffi8",
    "libgdbm.so.6": "libgdbm6t64",
    "libgdbm_compat.so.4": "libgdbm-compat4t64",
    "liblzma.so.5": "liblzma5",
    "libncursesw.so.6": "libncursesw6",
    "libnsl.so.2": "libnsl2",
    "libpanelw.so.6": "libncursesw6",
    "libreadline.so.8": "libreadline8t64",
    "libsqlite3.so.0": "libsqlite3-0",
    "libssl.so.3": "libssl3t64",
    "libtinfo.so.6": "libtinfo6",
    "libtirpc.so.3": "libtirpc3t64",
    "libuuid.so.1": "libuuid1",
    "libz.so.1": "zlib1g",
}
_LIBC = re.compile(r"(ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libutil)\.so\.\d")


def noble_store(cache: Path) -> Store:
    """Return where packages for noble are kept between tests and runs, each built once."""
    return Store(cache / "debs" / "noble-sweep")


def find_python(python: str) -> Path:
    """Return this machine's CPython of the minor version ``python``; a test that needs it fails where there is none."""
    try:
        return find_interpreter(python)
    except OutsideError as error:
        raise AssertionError(
            f"the stand-in noble is made with a CPython {python} of this machine, and none was found on PATH, in pyenv "
            f"or by uv; install one: pyenv install {python}, or uv python install {python}"
        ) from error


class PythonPackage:
    """``python3.12`` as Ubuntu lays it out, with the files of an installed CPython."""

    def __init__(self, interpreter: Path) -> None:
        query = (
            "import json, os, sys, sysconfig as s; v = s.get_config_var\n"
            "library = os.path.join(v('LIBDIR') or '', v('INSTSONAME') or '') if v('Py_ENABLE_SHARED') else None\n"
            "print(json.dumps([os.path.realpath(sys.executable), s.get_path('stdlib'), library]))"
        )
        answer = subprocess.run([interpreter, "-I", "-c", query], check=True, capture_output=True, text=True)
        program, stdlib, library = json.loads(answer.stdout)
        name = Path(stdlib).name
        self._files = {f"/usr/bin/{name}": Path(program)}
        self._files |= {f"/usr/lib/{name}/{path.relative_to(stdlib)}": path for path in _modules(Path(stdlib))}
        if library is not None:
            self._files[f"/usr/lib/{MULTIARCH}/{Path(library).name}"] = Path(library)

    def emit(self, sink: Sink) -> None:
        """Offer the files."""
        for path, source in sorted(self._files.items()):
            status = source.stat()
            with source.open("rb") as stream:
                sink.add_file(path, stream, status.st_size, mode=0o755 if status.st_mode & 0o100 else 0o644)

    def depends(self) -> list[str]:
        """Return the packages of what the files are linked with."""
        files = [path.read_bytes() for path in self._files.values()]
        elf = [read_needs(functools.partial(io.BytesIO, data), len(data)) for data in files]
        needed = {soname for needs in elf if needs for soname in needs.needed if not _LIBC.fullmatch(soname)}
        needed -= {Path(path).name for path in self._files}
        unknown = needed - _PYTHON_LIBRARIES.keys()
        assert not unknown, f"say in {Path(__file__).name} which package of trixie has {sorted(unknown)}"
        return sorted({"libc6", "media-types", "tzdata", *(_PYTHON_LIBRARIES[soname] for soname in needed)})


def _modules(stdlib: Path) -> Iterator[Path]:
    for path in stdlib.rglob("*"):
        inside = path.relative_to(stdlib)
        if path.is_file() and inside.parts[0] not in _ELSEWHERE and not _LEFT_OUT.fullmatch(path.name):
            yield path


def write_python(folder: Path, payload: PythonPackage, name: str, version: str) -> Path:
    """Write the package ``name`` in ``version`` into ``folder`` and return its path."""
    fields = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "A Tester <tester@example.org>",
        "Depends": ", ".join(payload.depends()),
        "Section": "python",
        "Priority": "optional",
        "Description": "stand-in for Ubuntu's Python, for tests\n The files of a CPython of the machine that tests.",
    }

    def control(_: Contents) -> Control:
        return Control(fields)

    return write_deb(folder / f"{name}_{version}_amd64.deb", payload, control, date=0, level=1).path


@dataclass(frozen=True)
class NobleRelease:
    """The full stack for noble in an archive of its own, served.

    Attributes:
        project: The stack.
        archive: Where it is published.
        claim: What it promises.
    """

    project: Project
    archive: Archive
    claim: Claim

    @property
    def packages(self) -> list[str]:
        """The names of everything in it."""
        return [package.name for package in self.archive.published(SUITE)]


def stack_with_stand_ins(folder: Path) -> Project:
    """Write the full stack into ``folder``, with the demo's application in the place of Forge's tree."""
    repository = REPOSITORY / "repo"
    copy_definitions(folder)
    tree = re.compile(r'^\[\[package\]\]\nrecipe = "tree"\n.*?(?=^\[\[package\]\]|\Z)', re.MULTILINE | re.DOTALL)
    found = tree.search((repository / "demo.toml").read_text())
    assert found is not None
    application = found[0]
    text, trees = tree.subn(lambda _: application, (repository / "cheesegrater.toml").read_text())
    assert trees == 1
    (folder / "stack.toml").write_text(text)
    return open_project(folder / "stack.toml")


@contextmanager
def released(folder: Path, cache: Path) -> Iterator[NobleRelease]:
    """Build every package of the full stack for noble, publish and serve them; ``folder`` is an empty folder."""
    project = stack_with_stand_ins(folder)
    stack, target = project.stack, project.target("noble")
    find_python(target.python)
    sources = {"forge": str(REPOSITORY / "examples/forge-standin")}
    wheels = TinyWheels(folder / "wheels")
    for name, artefact in stack.artefacts_for(target.name).items():
        summary = f"stand-in for {name}, without its modules"
        wheel = wheels.wheel(name, artefact.version, requires=artefact.requires, body=None, summary=summary)
        sources[name] = str(wheel)
    public = folder / "public"
    public.mkdir()
    with Server(public) as server:
        request = Request(
            project=project,
            target=target,
            channel="stable",
            directory=public,
            cache=cache,
            url=server.url,
            sources=sources,
            jobs=2,
            bytecode=True,
            date=stack.timestamp,
        )
        archive = Archive.init(public, archive_config(project.archive_definition(), server.url))
        drafts = assemble(request, archive, audited_wheels(request, Notes()))
        history = ArchiveHistory(archive, noble_store(cache), SUITE)
        plan = plan_packages(drafts, history, SUITE, stack.timestamp)
        debs = make_packages(plan.packages, noble_store(cache), jobs=2, watcher=Notes())
        archive.publish(SUITE, debs, whole=True, link=True)
        claim = claim_for(stack, target, archive, SUITE, server.url, ("/", "/info"))
        yield NobleRelease(project, archive, claim)


@contextmanager
def machine(folder: Path, cache: Path, python: str, version: str) -> Iterator[Root]:
    """Open a fresh stand-in noble: trixie, and ``python<python>`` in ``version`` in an apt source of its own.

    Nothing that packages of ours depend on is there beforehand but what Python itself needs, adduser and git.
    """
    payload = PythonPackage(find_python(python))
    deb = write_python(folder, payload, f"python{python}", version)
    packages = [*USUAL_PACKAGES, "adduser", "git", *payload.depends()]
    image = RootImage.ensure("trixie", cache / "roots", packages=packages)
    with image.instance() as root:
        root.copy_in(deb, f"/srv/noble/{deb.name}")
        stanza = subprocess.run(["dpkg-scanpackages", "."], cwd=folder, check=True, capture_output=True, text=True)
        root.path("/srv/noble/Packages").write_text(stanza.stdout)
        source = "Types: deb\nURIs: file:/srv/noble/\nSuites: ./\nTrusted: yes\n"
        root.path("/etc/apt/sources.list.d/stand-in-noble.sources").write_text(source)
        yield root


# What the stand-in application asks of torch before it serves: a network is made and given a checkpoint's weights.
# Nothing computes: the pages answer, and no picture can be painted.
_HOLLOW_TORCH = {
    "torch/__init__.py": """\
from torch import nn

class Tensor: pass

class device:
    def __init__(self, name): pass

def load(file, **options): return {}

def inference_mode(): return lambda function: function
""",
    "torch/nn/__init__.py": """\
from torch.nn import functional

class Module:
    def __init__(self, *sizes, **options): pass
    def load_state_dict(self, weights): pass
    def eval(self): return self
    def requires_grad_(self, wanted): return self
    def to(self, device): return self

class Conv2d(Module): pass

class Linear(Module): pass

class ModuleList(Module): pass
""",
    "torch/nn/functional.py": "",
}


def add_hollow_torch(root: Root) -> None:
    """Let the stand-in application's service start in ``root``, where there is no torch; it cannot paint then."""
    for name, text in _HOLLOW_TORCH.items():
        file = root.path(f"/srv/hollow/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with root.path("/etc/cheesegrater/forge.conf").open("a") as configuration:
        configuration.write("PYTHONPATH=/srv/hollow\n")
    # With a checkpoint there, the application does not make one, which takes a real torch.
    models = "/var/lib/cheesegrater-forge/models"
    root.path(f"{models}/Stable-diffusion").mkdir(parents=True)
    root.path(f"{models}/Stable-diffusion/standin-v1.pt").touch()
    root.run(["chown", "--recursive", "cheesegrater-forge:", models])
