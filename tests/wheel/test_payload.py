from __future__ import annotations

import importlib.util
import marshal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from debtool.deb.control import Control
from debtool.deb.writer import write_deb
from debtool.model.errors import InputError, OutsideError
from debtool.wheel import bytecode
from debtool.wheel.bytecode import BytecodeCompiler, find_interpreter
from debtool.wheel.payload import Layout, WheelPayload, traits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.deb.payload import Readable
    from tests.wheel.conftest import HandMadeWheels

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LAYOUT = Layout.venv("/usr/lib/x/venv", PYTHON)
SITE = LAYOUT.site_packages
DATE = 1_700_000_000
FIELDS = {"Package": "x", "Version": "1", "Architecture": "all", "Maintainer": "A <a@b.c>", "Description": "x y\n z"}


@dataclass
class Recorder:
    """A sink that keeps everything."""

    files: dict[str, bytes] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)

    def add_directory(self, path: str, *, mode: int = 0o755) -> None:
        raise AssertionError(path, mode)

    def add_symlink(self, path: str, target: str) -> None:
        raise AssertionError(path, target)

    def add_file(self, path: str, stream: Readable, size: int, *, mode: int = 0o644) -> None:
        assert path not in self.files
        self.files[path] = b"".join(iter(lambda: stream.read(4096), b""))
        self.modes[path] = mode
        assert len(self.files[path]) == size


@pytest.fixture(scope="session")
def compiler() -> Iterator[BytecodeCompiler]:
    with BytecodeCompiler(find_interpreter(PYTHON)) as compiler:
        yield compiler


def emitted(payload: WheelPayload) -> Recorder:
    sink = Recorder()
    payload.emit(sink)
    return sink


def test_files_are_where_python_looks_for_them(handmade: HandMadeWheels) -> None:
    sink = emitted(WheelPayload(handmade.open(), LAYOUT, mtime=DATE))
    expected = {f"{SITE}/{name}": data for name, data in handmade.files.items()}
    expected |= {f"{SITE}/{handmade.info}/INSTALLER": b"dpkg\n", f"{SITE}/{handmade.info}/top_level.txt": b"demo\n"}
    assert sink.files == expected
    assert set(sink.modes.values()) == {0o644}


def test_only_what_the_stack_names_is_requested(handmade: HandMadeWheels) -> None:
    sink = emitted(WheelPayload(handmade.open(), LAYOUT, mtime=DATE, requested=True))
    assert sink.files[f"{SITE}/{handmade.info}/REQUESTED"] == b""


def test_the_wheels_own_top_level_is_kept(handmade: HandMadeWheels) -> None:
    wheel = handmade.open({f"{handmade.info}/top_level.txt": b"own\n"})
    assert emitted(WheelPayload(wheel, LAYOUT, mtime=DATE)).files[f"{SITE}/{handmade.info}/top_level.txt"] == b"own\n"


def test_every_part_of_data_goes_to_its_place(handmade: HandMadeWheels) -> None:
    data = "demo_pkg-1.0.data"
    parts: dict[str, bytes | None] = {
        f"{data}/purelib/pure.py": b"",
        f"{data}/platlib/plat/x.py": b"",
        f"{data}/headers/demo.h": b"",
        f"{data}/data/share/man/man1/demo.1": b"",
        f"{data}/scripts/placeholder": b"#!python -E\nprint()\n",
        f"{data}/scripts/windowed": b"#!pythonw\nprint()\n",
        f"{data}/scripts/short": b"#!/bin",
        f"{data}/scripts/binary": b"\x7fELF" + bytes(100_000),
    }
    sink = emitted(WheelPayload(handmade.open(parts), LAYOUT, mtime=DATE))
    root = "/usr/lib/x/venv"
    assert {f"{SITE}/pure.py", f"{SITE}/plat/x.py", f"{root}/share/man/man1/demo.1"} <= set(sink.files)
    assert f"{root}/include/site/python{PYTHON}/demo-pkg/demo.h" in sink.files
    assert sink.files[f"{root}/bin/placeholder"] == b"#!/usr/lib/x/venv/bin/python3\nprint()\n"
    assert sink.files[f"{root}/bin/windowed"] == b"#!/usr/lib/x/venv/bin/python3\nprint()\n"
    assert sink.files[f"{root}/bin/short"] == b"#!/bin"
    assert sink.files[f"{root}/bin/binary"] == parts[f"{data}/scripts/binary"]
    assert {mode for path, mode in sink.modes.items() if "/bin/" in path} == {0o755}


def test_executable_bits_are_kept_and_no_others(handmade: HandMadeWheels) -> None:
    wheel = handmade.open({"demo/tool": b"#!/bin/sh\n"}, modes={"demo/tool": 0o4777, "demo/data.bin": 0o666})
    sink = emitted(WheelPayload(wheel, LAYOUT, mtime=DATE))
    assert (sink.modes[f"{SITE}/demo/tool"], sink.modes[f"{SITE}/demo/data.bin"]) == (0o755, 0o644)


def test_entry_points_become_launchers(handmade: HandMadeWheels) -> None:
    points = b"[console_scripts]\ndemo = demo:hello\n[gui_scripts]\ndemo-gui = demo.gui:App.run\n[other]\nx = y\n"
    sink = emitted(WheelPayload(handmade.open({f"{handmade.info}/entry_points.txt": points}), LAYOUT, mtime=DATE))
    assert sink.files["/usr/lib/x/venv/bin/demo"].startswith(b"#!/usr/lib/x/venv/bin/python3\n")
    assert b"from demo import hello" in sink.files["/usr/lib/x/venv/bin/demo"]
    assert b"App.run()" in sink.files["/usr/lib/x/venv/bin/demo-gui"]
    assert sink.modes["/usr/lib/x/venv/bin/demo"] == 0o755


@pytest.mark.parametrize(
    "files",
    [
        {"demo_pkg-1.0.data/elsewhere/x": b""},
        {"demo_pkg-1.0.data/x": b""},
        {"demo_pkg-1.0.dist-info/entry_points.txt": b"[console_scripts]\n../up = demo:hello\n"},
        {"demo_pkg-1.0.dist-info/entry_points.txt": b"[console_scripts]\nx = demo\n"},
        {"demo_pkg-1.0.dist-info/entry_points.txt": b"[console_scripts\n"},
        {"demo_pkg-1.0.data/purelib/demo/__init__.py": b"twice"},
    ],
)
def test_tricks_are_one_clear_error_and_no_package(
    handmade: HandMadeWheels, tmp_path: Path, files: dict[str, bytes | None]
) -> None:
    payload = WheelPayload(handmade.open(files), LAYOUT, mtime=DATE)
    target = tmp_path / "out" / "x.deb"
    target.parent.mkdir()
    with pytest.raises(InputError):
        write_deb(target, payload, lambda _: Control(FIELDS), date=DATE)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["demo/__init__.py", "demo/data.bin"])
def test_a_file_that_record_does_not_know_so_is_no_package(handmade: HandMadeWheels, tmp_path: Path, name: str) -> None:
    lines = [handmade.record_line(path, data) for path, data in handmade.files.items()]
    record = "".join([*lines, f"{handmade.info}/RECORD,,\n"])
    changed = handmade.files[name][:-1] + b"!"
    payload = WheelPayload(handmade.open({name: changed}, record=record), LAYOUT, mtime=DATE)
    target = tmp_path / "out" / "x.deb"
    target.parent.mkdir()
    with pytest.raises(InputError, match="sha256") as caught:
        write_deb(target, payload, lambda _: Control(FIELDS), date=DATE)
    assert caught.value.issues[0].field == name
    assert list(target.parent.iterdir()) == []


def test_bytecode_is_what_the_target_would_compile(handmade: HandMadeWheels, compiler: BytecodeCompiler) -> None:
    sink = emitted(WheelPayload(handmade.open(), LAYOUT, mtime=DATE, compiler=compiler))
    source = handmade.files["demo/__init__.py"]
    data = sink.files[f"{SITE}/demo/__pycache__/__init__.cpython-{PYTHON.replace('.', '')}.pyc"]
    assert data[:4] == importlib.util.MAGIC_NUMBER
    assert [int.from_bytes(data[at : at + 4], "little") for at in (4, 8, 12)] == [0, DATE, len(source)]
    code = marshal.loads(data[16:])  # noqa: S302 -- it was made by this test
    assert code.co_filename == f"{SITE}/demo/__init__.py"
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102
    assert names["hello"]() == "hello"  # type: ignore[operator]


def test_python_loads_the_bytecode_and_notices_a_changed_source(
    handmade: HandMadeWheels, compiler: BytecodeCompiler, tmp_path: Path
) -> None:
    payload = WheelPayload(handmade.open(), LAYOUT, mtime=DATE, compiler=compiler)
    built = write_deb(tmp_path / "x.deb", payload, lambda _: Control(FIELDS), date=DATE)
    root = tmp_path / "root"
    subprocess.run(["dpkg-deb", "--extract", built.path, root], check=True)
    site = root / SITE[1:]

    def run() -> str:
        command = [sys.executable, "-v", "-c", "import demo; print(demo.hello())"]
        environment = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
        result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return f"{result.stdout.strip()} {'loaded' if f'matches {site}' in result.stderr else 'compiled'}"

    assert run() == "hello loaded"
    (site / "demo/__init__.py").write_text("def hello():\n    return 'HELLO'\n")
    assert run() == "HELLO compiled"


def test_sources_that_do_not_compile_are_shipped_and_counted(
    handmade: HandMadeWheels, compiler: BytecodeCompiler
) -> None:
    wheel = handmade.open({"demo/old.py": b"print 'two'\n", "demo/nul.py": b"\0", "demo/latin.py": b"x = '\xff'\n"})
    payload = WheelPayload(wheel, LAYOUT, mtime=DATE, compiler=compiler)
    sink = emitted(payload)
    assert payload.uncompiled == tuple(f"{SITE}/demo/{name}.py" for name in ("old", "nul", "latin"))
    assert f"{SITE}/demo/old.py" in sink.files
    assert sum(path.endswith(".pyc") for path in sink.files) == 1


def test_scripts_and_data_are_not_compiled(handmade: HandMadeWheels, compiler: BytecodeCompiler) -> None:
    data = "demo_pkg-1.0.data"
    wheel = handmade.open({f"{data}/scripts/run.py": b"#!python\n", f"{data}/data/share/x.py": b""})
    sink = emitted(WheelPayload(wheel, LAYOUT, mtime=DATE, compiler=compiler))
    assert sum(path.endswith(".pyc") for path in sink.files) == 1


def many(count: int) -> dict[str, bytes | None]:
    """Modules whose strings are interned in one another: what makes marshal's output depend on the past."""
    names = ["alpha", "beta", "gamma", "delta", "self", "path", "value"]
    files: dict[str, bytes | None] = {}
    for n in range(count):
        body = "\n".join(
            f"def f{k}({names[(n + k) % 7]}, *args, key='{names[(n * k) % 7]}'):\n"
            f"    return {{'{names[k % 7]}': {n}, 'only_{n}': ({k}, 'x{k}', {{'a', 'b', 'only_{k}'}})}}"
            for k in range(1 + n % 5)
        )
        files[f"demo/m{n}.py"] = f"import os as alpha\n__all__ = ['f0', 'delta']\n{body}\n".encode()
    return files


def test_bytes_do_not_depend_on_the_workers_nor_on_what_they_compiled_before(
    handmade: HandMadeWheels, tmp_path: Path
) -> None:
    sums = set()
    wheel = handmade.open(many(60))
    for workers in (1, 2, 4):
        with BytecodeCompiler(find_interpreter(PYTHON), workers=workers) as compiler:
            for run in range(2):
                for n in range(7 * run):
                    compiler.submit(f"gamma = 'only_{n}' + 'delta'".encode(), f"/other/{n}.py", mtime=n).result()
                payload = WheelPayload(wheel, LAYOUT, mtime=DATE, compiler=compiler)
                sums.add(write_deb(tmp_path / "x.deb", payload, lambda _: Control(FIELDS), date=DATE).sha256)
    assert len(sums) == 1


def test_the_order_of_files_does_not_depend_on_the_compiler(
    handmade: HandMadeWheels, compiler: BytecodeCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("debtool.wheel.payload._BYTECODE_LAG", 3)
    wheel = handmade.open(many(12))
    orders = []
    compile_now = BytecodeCompiler._compile
    for pause in (0.0, 0.02):

        def compile_slowly(self: BytecodeCompiler, *request: Any, pause: float = pause) -> bytes:
            time.sleep(pause)
            return compile_now(self, *request)

        with monkeypatch.context() as patch:
            patch.setattr(BytecodeCompiler, "_compile", compile_slowly)
            orders.append(list(emitted(WheelPayload(wheel, LAYOUT, mtime=DATE, compiler=compiler)).files))
    assert orders[0] == orders[1]
    assert orders[0].index(f"{SITE}/demo/__pycache__/m0.cpython-{PYTHON.replace('.', '')}.pyc") < orders[0].index(
        f"{SITE}/demo/m11.py"
    )


def test_a_worker_that_dies_is_told(handmade: HandMadeWheels) -> None:
    with BytecodeCompiler(find_interpreter(PYTHON), workers=1) as compiler:
        compiler._workers[0]._process.kill()
        compiler._workers[0]._process.wait()
        payload = WheelPayload(handmade.open(), LAYOUT, mtime=DATE, compiler=compiler)
        with pytest.raises(OutsideError, match="ended while it compiled"):
            payload.emit(Recorder())


def test_a_missing_interpreter_is_told_with_ways_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutsideError) as caught:
        find_interpreter("3.3")
    assert "uv python install 3.3" in caught.value.issues[0].fix
    assert "--no-bytecode" in caught.value.issues[0].fix
    monkeypatch.setattr(bytecode, "_candidates", lambda _: iter(()))
    with pytest.raises(OutsideError):
        find_interpreter(PYTHON)


def test_a_payload_can_be_emitted_again(handmade: HandMadeWheels, compiler: BytecodeCompiler) -> None:
    payload = WheelPayload(handmade.open(), LAYOUT, mtime=DATE, compiler=compiler)
    assert emitted(payload).files == emitted(payload).files


def test_installed_metadata_is_what_tools_expect(handmade: HandMadeWheels, tmp_path: Path) -> None:
    built = write_deb(
        tmp_path / "x.deb", WheelPayload(handmade.open(), LAYOUT, mtime=DATE), lambda _: Control(FIELDS), date=DATE
    )
    subprocess.run(["dpkg-deb", "--extract", built.path, tmp_path / "root"], check=True)
    program = (
        "from importlib import metadata as m\n"
        "print(m.version('demo-pkg'), m.packages_distributions()['demo'], m.distribution('demo-pkg').files)\n"
    )
    path = str(tmp_path / "root" / SITE[1:])
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={"PYTHONPATH": path}
    )
    assert run.stdout == "1.0 ['Demo.Pkg'] None\n"


def test_pip_refuses_to_remove_what_dpkg_owns(handmade: HandMadeWheels, tmp_path: Path) -> None:
    root = tmp_path / "root"
    venv = root / LAYOUT.data[1:]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    built = write_deb(
        tmp_path / "x.deb", WheelPayload(handmade.open(), LAYOUT, mtime=DATE), lambda _: Control(FIELDS), date=DATE
    )
    subprocess.run(["dpkg-deb", "--extract", built.path, root], check=True)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        venv / "bin/python",
    ]
    assert "demo" in subprocess.run([*pip, "list"], check=True, capture_output=True, text=True).stdout.lower()
    run = subprocess.run([*pip, "uninstall", "--yes", "demo-pkg"], check=False, capture_output=True, text=True)
    assert run.returncode != 0
    assert "dpkg" in run.stderr
    assert (root / SITE[1:] / "demo/__init__.py").exists()


def test_traits_tell_what_lintian_must_know(handmade: HandMadeWheels) -> None:
    assert traits(handmade.open(), bytecode=False) == set()
    points: dict[str, bytes | None] = {f"{handmade.info}/entry_points.txt": b"[console_scripts]\ndemo = demo:hello\n"}
    wheel = handmade.open(points, name="demo_pkg-1.0-cp311-cp311-linux_x86_64.whl")
    assert traits(wheel, bytecode=True) == {"elf", "bytecode", "scripts"}
