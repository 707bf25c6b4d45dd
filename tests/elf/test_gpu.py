from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from functools import partial
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from debtool.elf.gpu import GpuCode, read_gpu_targets, runs_on
from debtool.wheel.source import open_wheel
from tests.support.bundles import bundle, compressed, paged, rocm_wheel


class Forwards(io.BytesIO):
    """Counts what is read, and cannot seek."""

    total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        Forwards.total += len(data)
        return data

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation("seek")


def code_in(data: bytes) -> GpuCode | None:
    return read_gpu_targets(lambda: Forwards(data), len(data))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    subprocess.run(["gcc", "-shared", "-o", folder / "x.so", "-x", "c", "/dev/null"], check=True)
    return folder / "x.so"


def with_section(library: Path, folder: Path, section: bytes, name: str = ".hip_fatbin") -> bytes:
    (folder / "section").write_bytes(section)
    command: list[str | Path] = ["objcopy", "--add-section", f"{name}={folder}/section", library, folder / "y.so"]
    subprocess.run(command, check=True)
    return (folder / "y.so").read_bytes()


def test_every_bundle_of_a_library_is_read(library: Path, tmp_path: Path) -> None:
    section = paged(
        bundle("gfx1030", "gfx90a:sramecc+:xnack-"),
        bundle("gfx1030", code=bytes(9000)),
        bundle("gfx906", kind="hip-amdgcn-amd-amdhsa-"),
        bundle("gfx10-3-generic", "gfx9-4-generic:xnack+"),
        bundle(),
    )
    assert code_in(with_section(library, tmp_path, section)) == GpuCode(
        (
            ("gfx1030", "gfx90a:sramecc+:xnack-"),
            ("gfx1030",),
            ("gfx906",),
            ("gfx10-3-generic", "gfx9-4-generic:xnack+"),
            (),
        )
    )


@pytest.mark.parametrize("method", [0, 1], ids=["zlib", "zstd"])
@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("size", [10, 100_000])
def test_compressed_bundles_are_read(library: Path, tmp_path: Path, version: int, method: int, size: int) -> None:
    noise = zlib.compress(bytes(range(256)) * 99)[:50] * (size // 50) + bytes(7 * size)
    each = [compressed(bundle(f"gfx103{n}", "gfx1100", code=noise), version=version, method=method) for n in range(5)]
    data = with_section(library, tmp_path, paged(*each, bundle("gfx900")))
    Forwards.total = 0
    assert code_in(data) == GpuCode((*((f"gfx103{n}", "gfx1100") for n in range(5)), ("gfx900",)))
    assert Forwards.total < 4 * len(data), "a file is not inflated for every bundle"


def test_magic_inside_of_compressed_code_begins_no_bundle() -> None:
    # A skippable frame (RFC 8878, 3.1.2) is part of what is compressed, whatever is in it.
    plain = bundle("gfx1030")
    packed = struct.pack("<II", 0x184D2A50, 5000) + b"CCOB" * 1250 + zstandard.compress(plain)
    first = b"CCOB" + struct.pack("<HHIIQ", 2, 1, 24 + len(packed), len(plain), 0) + packed
    assert code_in(paged(first, bundle("gfx1032"))) == GpuCode((("gfx1030",), ("gfx1032",)), alone=True)


def test_an_entry_of_unknown_form_is_code_that_nothing_runs() -> None:
    code = code_in(bundle("wonder"))
    assert code == GpuCode((("hipv4-amdgcn-amd-amdhsa--wonder",),), alone=True)
    assert code.missing("gfx1030")


def test_a_bundle_may_be_a_file_of_its_own() -> None:
    assert code_in(compressed(bundle("gfx1030"))) == GpuCode((("gfx1030",),), alone=True)
    assert code_in(bundle("gfx1030")) == GpuCode((("gfx1030",),), alone=True)


@pytest.mark.parametrize(
    ("flags", "abi", "target"),
    [
        (0x36, 1, "gfx1030"),
        (0x38, 2, "gfx1032"),
        (0x3F | 0x100 | 0x400, 2, "gfx90a"),
        (0x3F | 0x200 | 0xC00, 3, "gfx90a:sramecc+:xnack-"),
        (0x4C | 0x300, 4, "gfx942:xnack+"),
        (0x53 | 1 << 24, 4, "gfx10-3-generic"),
        (0x5F | 1 << 24, 4, "gfx9-4-generic"),
        (0x41, 2, "gfx1100"),
        (0x4E, 2, "gfx1201"),
    ],
)
def test_a_code_object_says_its_processor_in_its_flags(flags: int, abi: int, target: str) -> None:
    head = b"\x7fELF\x02\x01\x01\x40" + bytes([abi]) + bytes(7) + struct.pack("<HHI", 3, 224, 1)
    assert code_in(head + struct.pack("<QQQIHHHHHH", 0, 64, 0, flags, 64, 56, 0, 64, 0, 0)) == GpuCode(
        objects=(target,), alone=True
    )


def test_an_unknown_processor_is_said_to_be_unknown() -> None:
    head = b"\x7fELF\x02\x01\x01\x40\x02" + bytes(7) + struct.pack("<HHI", 3, 224, 1)
    found = code_in(head + struct.pack("<QQQIHHHHHH", 0, 64, 0, 0xFE, 64, 56, 0, 64, 0, 0))
    assert found is not None
    assert not found.targets
    assert "0xfe" in found.unread[0]


def test_what_has_no_device_code_is_nothing(library: Path, tmp_path: Path) -> None:
    assert code_in(library.read_bytes()) is None
    assert code_in(with_section(library, tmp_path, bundle("gfx1030"), ".hip_other")) is None
    assert code_in(Path(sys.executable).resolve().read_bytes()) is None
    for data in (b"", b"\x7fELF", b"import this", b"\x7fELF\x02\x01" + bytes(58), b"\x7fELF\x01\x01" + bytes(99)):
        assert code_in(data) is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", 2**63), "entries"),
        (b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<QQQQ", 1, 0, 0, 2**62), "name"),
        (b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<QQQQ", 1, 2**63, 2**63, 3) + b"abc", "beyond"),
        (bundle("gfx1030")[:60], "cut off"),
        (b"__CLANG_OFFLOAD_TUNDLE__", "no bundle"),
        (b"CCOB" + struct.pack("<HHQQQ", 3, 1, 2**63, 2**63, 0), "beyond"),
        (b"CCOB" + struct.pack("<HHIIQ", 2, 1, 3, 9, 0), "beyond"),
        (b"CCOB" + struct.pack("<HHIIQ", 9, 1, 3, 9, 0), "version 9"),
        (b"CCOB" + struct.pack("<HHIIQ", 2, 7, 24, 9, 0), "method 7"),
        (compressed(b"something else, of some length"), "no bundle"),
        (compressed(bundle("gfx1030")[:50]), "cut off"),
        (compressed(bundle("gfx1030")[:50], method=0), "cut off"),
        (b"CCOB" + struct.pack("<HHIIQ", 2, 0, 90, 9, 0) + b"\xff" * 66, ""),
        (b"CCOB" + struct.pack("<HHIIQ", 2, 1, 90, 9, 0) + b"\xff" * 66, ""),
        (b"not a bundle at all", "no bundle"),
    ],
)
def test_damage_is_told_and_what_stands_before_it_is_kept(damage: bytes, reason: str) -> None:
    good = paged(bundle("gfx1030"))
    found = code_in(good + damage)
    assert found is not None
    assert found.bundles == (("gfx1030",),)
    assert len(found.unread) == 1
    assert found.unread[0].startswith(f"at byte {len(good)}: ")
    assert reason in found.unread[0]


def test_a_bomb_is_inflated_no_further_than_a_bundle_s_header() -> None:
    bombs = [compressed(bundle("gfx1030") + bytes(2**28), method=method) for method in (0, 1)]
    tracemalloc.start()
    found = code_in(paged(*bombs))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == GpuCode((("gfx1030",), ("gfx1030",)), alone=True)
    assert peak < 2**24


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_damaged_file_never_breaks_the_reader(
    library: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kinds = [
        bundle("gfx1030"),
        *(compressed(bundle("gfx1030"), version=v, method=m) for v in (1, 2, 3) for m in (0, 1)),
    ]
    raw = bytearray(paged(*data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))))
    if data.draw(st.booleans()):
        raw = bytearray(with_section(library, tmp_path_factory.getbasetemp(), bytes(raw)))
        start = max(len(raw) - 2500, 0)
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(start, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, min(len(raw), 200) - 1))] = data.draw(st.integers(0, 255))
    found = code_in(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    assert found is None or all(target == "gfx1030" or target for target in found.targets)


@pytest.mark.parametrize(
    ("gpu", "targets", "runs"),
    [
        ("gfx1030", ["gfx1030"], True),
        ("gfx1030", ["gfx906", "gfx1030"], True),
        ("gfx1030", ["gfx1032"], False),
        ("gfx1032", ["gfx1030"], False),
        ("gfx1030", ["gfx10-3-generic"], True),
        ("gfx1036", ["gfx10-3-generic"], True),
        ("gfx1010", ["gfx10-3-generic"], False),
        ("gfx1010", ["gfx10-1-generic"], True),
        ("gfx1103", ["gfx11-generic"], True),
        ("gfx1150", ["gfx11-generic"], True),
        ("gfx906", ["gfx9-generic"], True),
        ("gfx908", ["gfx9-generic"], False),
        ("gfx90a", ["gfx9-generic"], False),
        ("gfx942", ["gfx9-4-generic"], True),
        ("gfx1201", ["gfx12-generic"], True),
        ("gfx1030", [], False),
        ("gfx103", ["gfx1030"], False),
        ("gfx90a", ["gfx90a:xnack-"], True),
        ("gfx90a:xnack+", ["gfx90a:xnack-"], False),
        ("gfx90a:sramecc+:xnack-", ["gfx90a:xnack-"], True),
        ("gfx90a:xnack-", ["gfx90a"], True),
        ("gfx906:xnack+", ["gfx9-generic:xnack-"], False),
    ],
)
def test_code_runs_on_its_processor_and_generic_code_on_its_family(gpu: str, targets: list[str], *, runs: bool) -> None:
    assert runs_on(gpu, targets) is runs


def test_generic_code_can_be_left_out() -> None:
    assert not runs_on("gfx1030", ["gfx10-3-generic"], generic=False)
    code = GpuCode((("gfx1030",), ("gfx10-3-generic",), ("gfx1032",), ()))
    assert (code.missing("gfx1030"), code.missing("gfx1030", generic=False)) == (1, 2)


def test_a_real_wheel_has_code_for_what_the_mac_reports(cache: Path) -> None:
    with open_wheel(rocm_wheel(cache)) as wheel:
        every = {name: read_gpu_targets(partial(wheel.open, name), size) for name, size in wheel.sizes.items()}
    found = {name.rpartition("/")[2]: code for name, code in every.items() if code}
    assert sorted(found) == ["_blas.so", "_linalg.so", "_prng.so", "_solver.so"]
    targets = "gfx1030 gfx1100 gfx1200 gfx1201 gfx900 gfx906 gfx908 gfx90a gfx940 gfx941 gfx942"
    assert all(code == GpuCode((tuple(targets.split()),)) for code in found.values())
    assert not any(code.missing("gfx1030") for code in found.values())
    assert all(code.missing("gfx1032") for code in found.values()), "the override is needed"
