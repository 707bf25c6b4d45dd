from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from debtool.audit.baselines import find_baseline
from debtool.audit.environment import (
    Setting,
    environment_settings,
    judge,
    machine_settings,
    process_settings,
    unit_values,
    variables,
)
from debtool.model.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

DOCTOR = Path(__file__).resolve().parents[2] / "debtool/host/doctor.py"


def told(environment: dict[str, str], cpu: str = "westmere") -> list[tuple[str, str, tuple[str, ...]]]:
    found = judge(environment_settings(environment, "here"), find_baseline(cpu))
    return [(one.setting.name, one.effect, one.needs) for one in found]


@pytest.mark.parametrize(
    ("name", "value", "effect", "needs"),
    [
        ("OPENBLAS_CORETYPE", "Haswell", "forces", ("AVX2",)),
        ("OPENBLAS_CORETYPE", "sandybridge", "forces", ("AVX",)),
        ("OPENBLAS_CORETYPE", "SkylakeX", "forces", ("AVX512F",)),
        ("ATEN_CPU_CAPABILITY", "avx2", "forces", ("AVX2",)),
        ("ATEN_CPU_CAPABILITY", "avx512", "forces", ("AVX512F",)),
        ("NUMBA_CPU_FEATURES", "+sse4.2,+avx2,+avx", "forces", ("AVX2", "AVX")),
        ("OPENSSL_ia32cap", "0x7ffef3ffffebffff:0x27ab", "forces", ("AVX",)),
        ("OPENSSL_ia32cap", "~0x20000000:0x20", "forces", ("AVX",)),
        ("NPY_ENABLE_CPU_FEATURES", "AVX512F AVX2", "stops", ("AVX512F", "AVX2")),
        ("CFLAGS", "-O2 -mno-avx -march=native", "compiles", ("native",)),
        ("CXXFLAGS", "-march=haswell", "compiles", ("AVX2",)),
        ("CMAKE_ARGS", "-DCMAKE_CXX_FLAGS='-mavx2 -mfma'", "compiles", ("AVX2", "FMA")),
        ("RUSTFLAGS", "-C target-cpu=native", "compiles", ("native",)),
        ("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+sse4.2,+avx2", "compiles", ("AVX2",)),
        ("GOAMD64", "v3", "compiles", ("AVX2",)),
        ("USE_NATIVE_ARCH", "ON", "compiles", ("native",)),
        ("MKL_ENABLE_INSTRUCTIONS", "AVX2", "ignored", ()),
        ("DNNL_MAX_CPU_ISA", "AVX512_CORE", "ignored", ()),
    ],
)
def test_what_does_harm_to_a_westmere(name: str, value: str, effect: str, needs: tuple[str, ...]) -> None:
    assert told({name: value}) == [(name, effect, needs)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENBLAS_CORETYPE", "Nehalem"),
        ("OPENBLAS_CORETYPE", "Barcelona"),
        ("OPENBLAS_CORETYPE", ""),
        ("ATEN_CPU_CAPABILITY", "default"),
        ("ATEN_CPU_CAPABILITY", "AVX2"),
        ("OPENSSL_ia32cap", "~0x200000200000000"),
        ("CFLAGS", "-O2 -march=westmere -mno-avx2 -mtune=native"),
        ("CFLAGS", "-march=x86-64-v2"),
        ("CXXFLAGS", "-DWITH-mavx"),
        ("RUSTFLAGS", "-C target-cpu=westmere -C target-feature=-avx2"),
        ("GOAMD64", "v2"),
        ("USE_NATIVE_ARCH", "0"),
        ("GLIBC_TUNABLES", "glibc.malloc.check=3"),
        ("PATH", "/opt/haswell/bin"),
    ],
)
def test_what_does_none(name: str, value: str) -> None:
    assert told({name: value}) == []


def test_a_baseline_that_has_the_features_is_not_harmed() -> None:
    assert told({"OPENBLAS_CORETYPE": "Sandybridge"}, "sandybridge") == []
    assert told({"OPENBLAS_CORETYPE": "Haswell"}, "sandybridge") == [("OPENBLAS_CORETYPE", "forces", ("AVX2",))]
    assert told({"CFLAGS": "-march=haswell -mf16c"}, "x86-64-v3") == []
    assert told({"CFLAGS": "-march=native"}, "x86-64-v4") == [("CFLAGS", "compiles", ("native",))]


def test_every_feature_is_one_that_a_baseline_can_have() -> None:
    known = find_baseline("x86-64-v4").features | {"native"}
    assert [value for one in variables() for value in one.value if not known.issuperset(value.needs)] == []


def test_files_of_the_machine(tmp_path: Path) -> None:
    files = {
        "etc/environment": 'A=1\n# B=2\nOPENBLAS_CORETYPE="Haswell"\n',
        "etc/environment.d/10-x.conf": "ATEN_CPU_CAPABILITY=avx2\n",
        "etc/profile.d/x.sh": "export CFLAGS='-march=native'\nif [ x ]; then\n",
        "etc/systemd/system.conf.d/x.conf": "[Manager]\nDefaultEnvironment=GOAMD64=v3\n",
        "usr/lib/systemd/system/forge.service": '[Service]\nEnvironment=C=1 "D=a b"\nEnvironment=E=1\n'
        "EnvironmentFile=-/etc/default/forge\n",
        "etc/systemd/system/forge.service.d/x.conf": "[Service]\nEnvironment=\nEnvironment=F=1 G=1\n"
        "UnsetEnvironment=G\n",
        "etc/default/forge": "F=2\nH=3\n",
        "usr/lib/systemd/system/shadowed.service": "[Service]\nEnvironment=I=1\n",
        "etc/systemd/system/shadowed.service": "[Service]\nEnvironment=J=1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = list(machine_settings(tmp_path))
    assert found == [
        Setting("A", "1", "/etc/environment"),
        Setting("OPENBLAS_CORETYPE", "Haswell", "/etc/environment"),
        Setting("ATEN_CPU_CAPABILITY", "avx2", "/etc/environment.d/10-x.conf"),
        Setting("CFLAGS", "-march=native", "/etc/profile.d/x.sh"),
        Setting("GOAMD64", "v3", "/etc/systemd/system.conf.d/x.conf"),
        Setting("F", "2", "/etc/default/forge"),
        Setting("H", "3", "/etc/default/forge"),
        Setting("J", "1", "/etc/systemd/system/shadowed.service"),
    ]
    assert len(judge(found, find_baseline("westmere"))) == 4


def test_a_unit_s_lines_are_joined_and_taken_back() -> None:
    assert unit_values("Environment=A=1\n Environment = B=2 \\\n C=3\nEnvironmentFile=/x\n", "Environment") == [
        "A=1",
        "B=2   C=3",
    ]
    assert unit_values("Environment=A=1\nEnvironment=\n", "Environment") == []


def test_a_running_process(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/environ").write_bytes(b"A=1\0B=x=y\0\xff=\xff\0")
    found = process_settings(7, tmp_path)
    assert found[:2] == [Setting("A", "1", "process 7"), Setting("B", "x=y", "process 7")]
    with pytest.raises(InputError, match="no process 8"):
        process_settings(8, tmp_path)


@pytest.fixture
def doctor() -> ModuleType:
    """The host program, which imports nothing of debtool and cannot share the table."""
    spec = importlib.util.spec_from_file_location("doctor_of_test_environment", DOCTOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_doctor_says_the_same(doctor: Any) -> None:
    forcing = {name: one for one in variables() if one.effect in {"forces", "stops"} for name in one.names}
    assert doctor.FORCES.keys() == forcing.keys()
    flags = {"AVX": "avx", "AVX2": "avx2", "AVX512F": "avx512f"}
    values = (
        *("Haswell", "sandybridge", "SkylakeX", "ZEN", "zen3", "Nehalem", "Barcelona", "nonsense", "skx", "knl"),
        *("avx", "avx2", "AVX2", "avx512", "avx512_vnni", "default", "+avx2", "+avx", "-avx2,+sse4.2", "+fma"),
        *("+avx512f", "0x1:0x2", "~0x1", "~0x1:0x2", "AVX512F AVX2", "FMA3", "SSE42", "XOP", ""),
    )
    for name in forcing:
        for value in values:
            mine = {flags[feature] for _, _, needs in told({name: value}) for feature in needs}
            assert doctor.forces(name, value) == mine, (name, value)


def test_what_was_measured_says_with_what() -> None:
    for one in variables():
        if "measured" in one.source:
            assert re.search(r"measured with \S+|measured with the", one.source)
