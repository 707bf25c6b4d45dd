from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from debtool.deb.reader import iter_data
from debtool.stack.make import build_packages
from debtool.stack.singles import plan_wheels
from tests.support import drafts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.wheels import TinyWheels

SETTINGS = """
[wheel.kernels]
run_path = { "/opt/rocm-6.3.4/lib" = "/opt/rocm/lib" }
reason = "the machine has another point release"
"""


def test_a_run_path_is_rewritten_while_the_file_passes(tmp_path: Path, tiny_index: TinyWheels) -> None:
    source = tmp_path / "x.c"
    source.write_text("int answer(void) { return 42; }\n")
    built = tmp_path / "x.so"
    options = ["-shared", "-fPIC", "-nostdlib", "-Wl,-rpath,$ORIGIN:/opt/rocm-6.3.4/lib"]
    subprocess.run(["gcc", *options, "-o", built, source], check=True)
    wheel = tiny_index.wheel(
        "kernels", "1.0", tag="cp311-cp311-linux_x86_64", files={"kernels/x.so": built.read_bytes()}
    )
    stack = drafts.stack(drafts.PACKAGE + SETTINGS)
    planned = plan_wheels(stack, drafts.target(), [wheel], revision=1, bytecode=False, date=1_700_000_000)
    [made] = build_packages(planned, tmp_path / "out", jobs=1, watcher=drafts.Notes()).values()
    files = {
        entry.path: stream.read() for entry, stream in iter_data(made.path) if stream and entry.path.endswith(".so")
    }
    [data] = files.values()
    before = built.read_bytes()
    assert len(data) == len(before)
    assert data != before
    (tmp_path / "y.so").write_bytes(data)
    said = subprocess.run(["readelf", "-d", tmp_path / "y.so"], check=True, capture_output=True, text=True).stdout
    [path] = re.findall(r"runpath: \[(.*)\]", said)
    first, second = path.split(":")
    assert first == "$ORIGIN"
    assert [part for part in second.split("/") if part] == ["opt", "rocm", "lib"]
