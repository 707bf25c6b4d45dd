"""Builds of tiny sources of our own: a build backend inside the source makes the wheel, so that no index is needed."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from debtool.build.wheels import BuiltWheel, build_companion, build_sdist
from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, OutsideError
from debtool.model.stack import Artefact
from debtool.model.target import Target, parse_target
from debtool.wheel.lock import LockedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.wheels import TinyWheels

PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# Packs every given file and the dist-info into a wheel dated SOURCE_DATE_EPOCH.
PACK = """
import os, subprocess, time, zipfile

def pack(folder, name, version, tag, files):
    date = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]
    info = f"{name}-{version}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n".encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: {tag}\\n".encode()
    files[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"]).encode()
    file = f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(os.path.join(folder, file), "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, date), data)
    return file
"""
PURE = (
    PACK
    + """
def build_wheel(folder, settings=None, metadata=None):
    return pack(folder, "old", "1.0", "py3-none-any", {"old.py": open("old.py", "rb").read()})
"""
)
# As a companion does: needs the other package at build time, compiles, and has its path in an assertion.
NATIVE = (
    PACK
    + """
def build_wheel(folder, settings=None, metadata=None):
    import tinytorch
    source = os.path.abspath("companion.c")
    flags = os.environ["CFLAGS"].split()
    command = ["cc", *flags, "-shared", "-fPIC", f'-DABI="{tinytorch.ABI}"', "-o", "companion.so", source]
    print(" ".join(command), flush=True)
    subprocess.run(command, check=True)
    variables = " ".join(sorted(os.environ)).encode()
    files = {"companion.so": open("companion.so", "rb").read(), "variables.txt": variables}
    return pack(folder, "companion", os.environ["BUILD_VERSION"], "py3-none-linux_x86_64", files)
"""
)
COMPANION_C = """
const char *abi(void) { return ABI; }
const char *where(void) { return __FILE__; }
#ifndef __SSE4_2__
#error "not compiled for Westmere"
#endif
"""
CHECK = (
    "import ctypes, sysconfig; library = ctypes.CDLL(sysconfig.get_path('platlib') + '/companion.so'); "
    "library.abi.restype = ctypes.c_char_p; assert library.abi() == b'2.13'"
)


@pytest.fixture
def target() -> Target:
    file = Path(__file__).parents[2] / "repo" / "targets" / "bookworm.toml"
    return parse_target(file.read_text(), file)


@pytest.fixture
def torch(tiny_index: TinyWheels) -> Path:
    return tiny_index.wheel("tinytorch", "2.13.0+cpu", requires=["helper"], body='ABI = "2.13"\n')


@pytest.fixture
def make(tiny_index: TinyWheels, torch: Path, target: Target, tmp_path: Path) -> Callable[..., BuiltWheel]:
    """Build the tiny companion; keywords change the artefact, ``cache`` the cache, ``files`` the source."""

    def build(
        *, cache: str = "cache", files: Mapping[str, str] | None = None, target: Target = target, **changes: Any
    ) -> BuiltWheel:
        helper = tiny_index.wheel("helper", "1.0")
        tiny_index.wheel("helper", "2.0")  # what pip would choose; the lock's is older
        source = tiny_index.sdist(
            "companion",
            "0.21.0",
            {"pyproject.toml": PYPROJECT, "backend.py": NATIVE, "companion.c": COMPANION_C, **(files or {})},
        )
        fields = {
            "name": "companion",
            "version": "0.21.0",
            "kind": "companion",
            "targets": ["bookworm"],
            "against": "tinytorch",
            "source": {"path": str(source.relative_to(tmp_path)), "sha256": sha256_of(source)},
            "environment": {"BUILD_VERSION": "0.21.0", "CFLAGS": "-march=westmere"},
            "check": CHECK,
        }
        artefact = Artefact.model_validate(fields | changes)
        wheels = {"helper": helper, "tinytorch": torch}
        return build_companion(artefact, target, wheels=wheels, folder=tmp_path, cache=tmp_path / cache)

    return build


def test_an_sdist_becomes_its_wheel(tiny_index: TinyWheels, target: Target, tmp_path: Path) -> None:
    sdist = tiny_index.sdist("old", "1.0", {"pyproject.toml": PYPROJECT, "backend.py": PURE, "old.py": "answer = 42\n"})
    entry = LockedFile(canonicalize_name("old"), Version("1.0"), sdist.name, sha256_of(sdist))
    lines: list[str] = []
    built = build_sdist(entry, sdist, target, wheels={}, cache=tmp_path / "cache", watch=lines.append)
    assert built.path.name == "old-1.0-py3-none-any.whl"
    assert built.sha256 == sha256_of(built.path)
    assert zipfile.ZipFile(built.path).read("old.py") == b"answer = 42\n"
    assert lines
    record = json.loads((built.path.parent / "record.json").read_text())
    assert record["inputs"]["source"] == f"sha256:{entry.sha256}"
    again = build_sdist(entry, sdist, target, wheels={}, cache=tmp_path / "cache")
    assert (again.path, again.reused, built.reused) == (built.path, True, False)


def test_an_sdist_is_built_with_variables_and_settings(tiny_index: TinyWheels, target: Target, tmp_path: Path) -> None:
    backend = PURE.replace('open("old.py", "rb").read()', 'repr((os.environ["CFLAGS"], settings)).encode()')
    sdist = tiny_index.sdist("old", "1.0", {"pyproject.toml": PYPROJECT, "backend.py": backend})
    entry = LockedFile(canonicalize_name("old"), Version("1.0"), sdist.name, sha256_of(sdist))
    variables, settings = {"CFLAGS": "-march=westmere"}, {"cpu": "a=b c"}

    def build(**options: Any) -> BuiltWheel:
        return build_sdist(entry, sdist, target, wheels={}, cache=tmp_path / "cache", **options)

    built = build(variables=variables, settings=settings)
    flags, seen = ast.literal_eval(zipfile.ZipFile(built.path).read("old.py").decode())
    assert flags.split()[:3] == ["-O2", "-DNDEBUG", "-march=westmere"]
    assert seen == settings
    plain = build()
    assert len({built.key, plain.key, build(variables=variables).key, build(settings=settings).key}) == 4
    assert build(variables=variables, settings=settings).reused
    # What was built before there were settings is still found.
    inputs = json.loads((plain.path.parent / "record.json").read_text())["inputs"]
    assert inputs.pop("settings") == []
    assert plain.key == hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def test_a_companion_is_compiled_against_the_stacks_own(make: Callable[..., BuiltWheel]) -> None:
    built = make()
    record = json.loads((built.path.parent / "record.json").read_text())
    assert record["environment"] == ["helper==1.0", "tinytorch==2.13.0+cpu"]
    assert record["inputs"]["against"].startswith("tinytorch-2.13.0+cpu-py3-none-any.whl sha256:")
    assert sorted(path.name for path in built.path.parent.iterdir()) == sorted(
        ["build.log", "journal.jsonl", "record.json", built.path.name]
    )
    assert os.listdir(built.path.parents[1]) == [built.key]  # noqa: PTH208 -- hidden leftovers must show


def test_the_same_inputs_give_the_same_bytes_anywhere(make: Callable[..., BuiltWheel], tmp_path: Path) -> None:
    first, second = make(cache="one"), make(cache="a/much/longer/path/to/another/cache")
    assert not second.reused
    assert first.sha256 == second.sha256
    assert str(tmp_path).encode() not in zipfile.ZipFile(first.path).read("companion.so")


def test_nothing_of_the_users_environment_comes_in(
    make: Callable[..., BuiltWheel], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENBLAS_CORETYPE", "CPPFLAGS", "PYTHONPATH", "LD_PRELOAD_NOT", "CC"):
        monkeypatch.setenv(name, "poison")
    variables = zipfile.ZipFile(make().path).read("variables.txt").decode().split()
    assert not {"OPENBLAS_CORETYPE", "CPPFLAGS", "PYTHONPATH", "LD_PRELOAD_NOT", "CC"} & set(variables)
    assert {"BUILD_VERSION", "CFLAGS", "CXXFLAGS", "MAX_JOBS", "SOURCE_DATE_EPOCH"} <= set(variables)


def test_what_a_result_follows_from_is_its_key(
    make: Callable[..., BuiltWheel], torch: Path, tiny_index: TinyWheels
) -> None:
    first = make()
    assert make().reused
    keys = {
        first.key,
        make(environment={"BUILD_VERSION": "0.21.0", "CFLAGS": "-march=westmere -O1"}).key,
        make(files={"companion.c": COMPANION_C + "int more;\n"}).key,
        make(check="pass").key,
    }
    tiny_index.wheel("tinytorch", "2.13.0+cpu", requires=["helper"], body='ABI = "2.13"  # rebuilt\n')
    assert torch.is_file()
    keys.add(make().key)
    assert len(keys) == 5


def test_a_failed_build_names_its_log_and_leaves_nothing(make: Callable[..., BuiltWheel], tmp_path: Path) -> None:
    with pytest.raises(OutsideError) as caught:
        make(environment={"BUILD_VERSION": "0.21.0", "CFLAGS": "-march=x86-64"})
    [issue] = caught.value.issues
    assert issue.file is not None
    assert "not compiled for Westmere" in issue.file.read_text()
    assert [path.name for path in (tmp_path / "cache" / "built").iterdir()] == [issue.file.name]


def test_a_companion_that_does_not_work_is_not_kept(make: Callable[..., BuiltWheel], tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="operator does not exist") as caught:
        make(check="raise SystemExit('operator does not exist')")
    assert "does not work" in caught.value.issues[0].fix
    assert not list((tmp_path / "cache" / "built").rglob("*.whl"))


def test_a_wheel_of_another_version_is_refused(make: Callable[..., BuiltWheel]) -> None:
    with pytest.raises(InputError, match=r"made companion-0\.22\.0"):
        make(environment={"BUILD_VERSION": "0.22.0", "CFLAGS": "-march=westmere"})


def test_a_binary_for_a_newer_glibc_is_refused(make: Callable[..., BuiltWheel], target: Target) -> None:
    code = "#include <string.h>\nvoid *copy(void *a, void *b, size_t n) { return memmove(a, b, n); }\n"
    files = {"companion.c": COMPANION_C + code}
    assert make(files=files).path.is_file()
    older = target.model_copy(update={"glibc": "2.2"})
    with pytest.raises(InputError, match=r"needs glibc 2\.2\.5, bookworm has 2\.2"):
        make(files=files, target=older, cache="other")


def test_an_archive_cannot_reach_outside(tiny_index: TinyWheels, target: Target, tmp_path: Path) -> None:
    evil = tiny_index.folder / "old-1.0.tar.gz"
    with tarfile.open(evil, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../../escaped"))
    entry = LockedFile(canonicalize_name("old"), Version("1.0"), evil.name, sha256_of(evil))
    with pytest.raises(InputError, match="cannot be unpacked"):
        build_sdist(entry, evil, target, wheels={}, cache=tmp_path / "cache")
    assert not list(tmp_path.rglob("escaped"))
