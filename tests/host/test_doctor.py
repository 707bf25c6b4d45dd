"""The doctor against recorded machines: trees of /proc, /sys, /etc and programs below a root of their own."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from debtool.host import doctor

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(doctor.__file__)
WESTMERE = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx fxsr sse sse2 ss ht"
    " tm pbe syscall nx pdpe1gb rdtscp lm constant_tsc pni pclmulqdq dtes64 monitor ds_cpl vmx est tm2 ssse3 cx16 xtpr"
    " pdcm pcid dca sse4_1 sse4_2 popcnt aes lahf_lm"
)
HASWELL = WESTMERE + " avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
SITE = "/usr/lib/cheesegrater/venv/lib/python3.12/site-packages"
UNIT = "/usr/lib/systemd/system/cheesegrater-forge.service"


class Machine:
    """A Mac Pro 5,1 with a Radeon RX 6600 XT on which everything is right; tests break one thing each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cpu("Intel(R) Xeon(R) CPU           X5690  @ 3.47GHz", WESTMERE)
        self.write("/proc/self/environ", "PATH=/usr/bin\0LANG=C.UTF-8\0")
        self.write("/etc/cheesegrater/doctor.conf", "[stack]\nprefix = cheesegrater\npython = 3.12\n"
                   "venv = /usr/lib/cheesegrater/venv\n\n[service cheesegrater-forge]\nport = 1\n")  # fmt: skip
        self.write(UNIT, "[Service]\nUser=cheesegrater-forge\nEnvironment=HSA_OVERRIDE_GFX_VERSION=10.3.0\n"
                   "EnvironmentFile=-/etc/default/cheesegrater-forge\n")  # fmt: skip
        self.write("/sys/module/amdgpu/refcnt", "1")
        self.write("/sys/bus/pci/devices/0000:05:00.0/vendor", "0x1002\n")
        self.write("/sys/bus/pci/devices/0000:05:00.0/device", "0x73ff\n")
        self.write("/sys/bus/pci/devices/0000:05:00.0/class", "0x030000\n")
        self.node(0, 0)
        self.node(1, 100302)
        self.write("/dev/kfd", "")
        (root / "dev/kfd").chmod(0o660)
        # An account that nobody has, so that the probes run as whoever runs the tests.
        self.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        self.write("/etc/group", f"users:x:7:\nrender:x:{(root / 'dev/kfd').stat().st_gid}:\n")
        self.program("/usr/bin/journalctl", "echo 'kfd kfd: amdgpu: added device 1002:73ff'")
        self.write("/opt/rocm-6.3.4/.info/version", "6.3.4-76\n")
        self.write("/usr/lib/cheesegrater/venv/pyvenv.cfg", "home = /usr/bin\n")
        self.write(f"{SITE}/torch/version.py", "__version__ = '2.6.0+rocm6.3'\nhip: Optional[str] = '6.3.42134'\n")
        self.write(f"{SITE}/gradio_client/__init__.py", "")
        self.torch = {"version": "2.6.0+rocm6.3", "hip": "6.3.42134", "cpu": "DEFAULT", "product": 2.0, "expected": 2.0,
                      "gpu": True, "gpu_name": "AMD Radeon RX 6600 XT", "gpu_product": 2.0}  # fmt: skip
        self.gradio = {"gradio": "4.40.0", "gradio_client": "1.2.0", "pydantic": "2.11.10", "result": "Dict(str, Any)"}
        self.ending = ""

    def write(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()

    def program(self, path: str, script: str) -> None:
        self.write(path, f"#!/bin/sh\n{script}\n")
        (self.root / path.lstrip("/")).chmod(0o755)

    def cpu(self, model: str, flags: str) -> None:
        # The other lines that a careless search for "avx" would find.
        self.write("/proc/cpuinfo", f"processor\t: 0\nmodel name\t: {model}\nflags\t\t: {flags}\n"
                   "vmx flags\t: vnmi avx_like\nbugs\t\t: spectre_v1 avx512_bug\n\n")  # fmt: skip

    def node(self, number: int, target: int) -> None:
        folder = f"/sys/class/kfd/kfd/topology/nodes/{number}"
        self.write(f"{folder}/properties", f"cpu_cores_count 12\nsimd_count 64\ngfx_target_version {target}\n")

    def run(self, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """The report's checks by id. The stack's interpreter answers as this machine's would."""
        self.program(
            "/usr/lib/cheesegrater/venv/bin/python3",
            f'{self.ending}\ncase "$*" in\n'
            "*sys.version_info*) echo 3.12.3; echo /usr/lib/cheesegrater/venv ;;\n"
            f"*'import torch'*) echo '{json.dumps(self.torch)}' ;;\n"
            f"*gradio_client*) echo '{json.dumps(self.gradio)}' ;;\nesac",
        )
        done = self.call("--json", *arguments)
        assert done.stderr == ""
        report = json.loads(done.stdout)
        assert report["schema"] == 1
        return done.returncode, {check["id"]: check for check in report["checks"]}

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROGRAM), "--root", str(self.root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})

    def only(self, check: str) -> dict[str, Any]:
        status, checks = self.run("--only", check)
        assert list(checks) == [check]
        assert status == (1 if checks[check]["status"] in {"warn", "fail"} else 0)
        return checks[check]


@pytest.fixture
def mac(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_good_mac_pro_has_no_findings(mac: Machine) -> None:
    status, checks = mac.run()
    statuses = {name: check["status"] for name, check in checks.items()}
    assert statuses.pop("service") == "skip"
    assert set(statuses.values()) == {"ok"}, checks
    assert status == 0
    assert checks["cpu-level"]["evidence"]["level"] == "x86-64-v2"
    assert checks["cpu-level"]["evidence"]["avx"] is False
    assert "gfx1032" in checks["gpu-driver"]["summary"]


class TestCpu:
    def test_avx_is_a_fact_and_no_error(self, mac: Machine) -> None:
        mac.cpu("Intel(R) Xeon(R) CPU E5-1650 v3", HASWELL)
        check = mac.only("cpu-level")
        assert check["status"] == "ok"
        assert check["evidence"]["level"] == "x86-64-v3"

    def test_too_old(self, mac: Machine) -> None:
        mac.cpu("Intel(R) Core(TM)2 Duo CPU E8400", WESTMERE.replace("sse4_2", "").replace("popcnt", ""))
        check = mac.only("cpu-level")
        assert check["status"] == "fail"
        assert check["evidence"]["missing"] == ["popcnt", "sse4_2"]

    def test_a_virtual_machine_that_masks(self, mac: Machine) -> None:
        mac.cpu("QEMU Virtual CPU version 2.5+", "fpu sse sse2 pni cx16 lahf_lm hypervisor")
        check = mac.only("cpu-level")
        assert check["status"] == "fail"
        assert "virtual machine" in check["fix"]

    def test_masked_avx_is_fine(self, mac: Machine) -> None:
        mac.cpu("Intel(R) Xeon(R) Platinum", WESTMERE + " hypervisor")
        assert mac.only("cpu-level")["status"] == "ok"

    def test_nehalem_lacks_one_instruction(self, mac: Machine) -> None:
        mac.cpu("Intel(R) Xeon(R) CPU W3520", WESTMERE.replace("pclmulqdq", ""))
        assert mac.only("cpu-level")["status"] == "warn"

    def test_another_architecture(self, mac: Machine) -> None:
        mac.write("/proc/cpuinfo", "processor : 0\nFeatures : fp asimd\n")
        assert mac.only("cpu-level")["status"] == "skip"


class TestEnvironment:
    @pytest.mark.parametrize(
        ("path", "text", "where"),
        [
            ("/proc/self/environ", "OPENBLAS_CORETYPE=Haswell\0", "this session"),
            ("/etc/environment", 'ATEN_CPU_CAPABILITY="avx2"\n', "/etc/environment"),
            ("/etc/default/cheesegrater-forge", "# mine\nNPY_ENABLE_CPU_FEATURES=AVX2\n", "/etc/default/"),
            (
                "/etc/systemd/system/cheesegrater-forge.service.d/a.conf",
                "Environment=OPENBLAS_CORETYPE=ZEN\n",
                "a.conf",
            ),
        ],
    )
    def test_what_forces_avx_is_found_where_it_is_set(self, mac: Machine, path: str, text: str, where: str) -> None:
        mac.write(path, text)
        check = mac.only("environment")
        assert check["status"] == "fail"
        assert where in check["summary"]

    def test_what_the_unit_removes_does_not_count(self, mac: Machine) -> None:
        mac.write("/etc/default/cheesegrater-forge", "ATEN_CPU_CAPABILITY=avx2\n")
        mac.write("/etc/systemd/system/cheesegrater-forge.service.d/a.conf", "UnsetEnvironment=A ATEN_CPU_CAPABILITY\n")
        assert mac.only("environment")["status"] == "ok"

    def test_other_values_are_noted_only(self, mac: Machine) -> None:
        mac.write("/proc/self/environ", "OPENBLAS_CORETYPE=Nehalem\0LD_PRELOAD=libtcmalloc.so\0")
        check = mac.only("environment")
        assert check["status"] == "ok"
        assert check["evidence"]["variables"]["this session"]["LD_PRELOAD"] == "libtcmalloc.so"

    def test_harmless_on_a_cpu_with_avx(self, mac: Machine) -> None:
        mac.cpu("new", HASWELL)
        mac.write("/proc/self/environ", "OPENBLAS_CORETYPE=Haswell\0")
        assert mac.only("environment")["status"] == "ok"
        mac.cpu("Sandy Bridge", WESTMERE + " avx")
        assert mac.only("environment")["status"] == "fail"

    def test_what_can_only_take_away_forces_nothing(self, mac: Machine) -> None:
        # Measured under an emulated Westmere: debtool/audit/environment.toml.
        mac.write("/proc/self/environ", "MKL_ENABLE_INSTRUCTIONS=AVX2\0ONEDNN_MAX_CPU_ISA=AVX512_CORE\0")
        assert mac.only("environment")["status"] == "ok"


class TestGpu:
    def test_packages_for_the_cpu_need_none(self, mac: Machine) -> None:
        mac.write(f"{SITE}/torch/version.py", "__version__ = '2.13.0+cpu'\nhip: Optional[str] = None\n")
        mac.torch.update(gpu=False, hip=None)
        mac.remove("/dev/kfd")
        status, checks = mac.run()
        assert status == 0
        for name in ("gpu-driver", "gpu-access", "gpu-target", "gpu-atomics", "rocm"):
            assert checks[name]["status"] == "skip"
            assert "computes on the CPU" in checks[name]["summary"]

    def test_no_card(self, mac: Machine) -> None:
        mac.write("/sys/bus/pci/devices/0000:05:00.0/vendor", "0x10de\n")
        assert "no AMD graphics card" in mac.only("gpu-driver")["summary"]

    def test_atomics_rejected(self, mac: Machine) -> None:
        mac.node(1, 0)
        mac.program(
            "/usr/bin/journalctl", "echo 'kfd kfd: amdgpu: skipped device 1002:73ff, PCI rejects atomics 91<92'"
        )
        status, checks = mac.run("--only", "gpu-driver", "--only", "gpu-atomics", "--only", "gpu-target")
        assert status == 1
        assert checks["gpu-driver"]["status"] == "fail"
        assert checks["gpu-target"]["status"] == "skip"
        assert checks["gpu-atomics"]["evidence"] == {"device": "1002:73ff", "firmware": "91", "needed": "92"}
        assert "linux-firmware" in checks["gpu-atomics"]["fix"]

    def test_a_card_that_never_works_without_atomics(self, mac: Machine) -> None:
        mac.program("/usr/bin/journalctl", "echo 'kfd: skipped device 1002:6995, PCI rejects atomics 730<0'")
        check = mac.only("gpu-atomics")
        assert check["status"] == "fail"
        assert "RX 6000" in check["fix"]

    def test_a_log_that_nobody_lets_us_read(self, mac: Machine) -> None:
        mac.remove("/usr/bin/journalctl")
        assert mac.only("gpu-atomics")["status"] == "skip"
        mac.write("/var/log/kern.log", "amdgpu: skipped device 1002:73ff, PCI rejects atomics 14<92\n")
        assert mac.only("gpu-atomics")["status"] == "fail"

    def test_no_render_group(self, mac: Machine) -> None:
        mac.write("/etc/passwd", "cheesegrater-forge:x:4711:4711::/:/bin/false\n")
        check = mac.only("gpu-access")
        assert check["status"] == "fail"
        assert "usermod --append --groups render cheesegrater-forge" in check["fix"]

    @pytest.mark.parametrize("way", ["member", "unit"])
    def test_allowed_by_membership_or_by_the_unit(self, mac: Machine, way: str) -> None:
        mac.write("/etc/passwd", "cheesegrater-forge:x:4711:4711::/:/bin/false\n")
        if way == "member":
            gid = (mac.root / "dev/kfd").stat().st_gid
            mac.write("/etc/group", f"render:x:{gid}:somebody,cheesegrater-forge\n")
        else:
            mac.write(UNIT, "[Service]\nSupplementaryGroups=video render\n")
        assert mac.only("gpu-access")["status"] == "ok"

    def test_no_device_node(self, mac: Machine) -> None:
        mac.remove("/dev/kfd")
        assert mac.only("gpu-access")["status"] == "fail"

    def test_override_missing(self, mac: Machine) -> None:
        mac.write(UNIT, "[Service]\nEnvironmentFile=/etc/default/cheesegrater-forge\n")
        check = mac.only("gpu-target")
        assert check["status"] == "fail"
        assert "HSA_OVERRIDE_GFX_VERSION=10.3.0" in check["summary"]
        mac.write("/etc/default/cheesegrater-forge", "HSA_OVERRIDE_GFX_VERSION=10.3.0\n")
        assert mac.only("gpu-target")["status"] == "ok"

    def test_another_family(self, mac: Machine) -> None:
        mac.node(1, 90010)
        assert mac.only("gpu-target")["summary"].startswith("gfx90a")

    def test_rocm_whose_host_code_has_avx(self, mac: Machine) -> None:
        mac.write("/opt/rocm-6.1.3/.info/version", "6.1.3-122\n")
        assert mac.only("rocm")["status"] == "fail"
        mac.cpu("new", HASWELL)
        assert mac.only("rocm")["status"] == "ok"


class TestPython:
    def test_an_illegal_instruction_is_named(self, mac: Machine) -> None:
        mac.ending = "case \"$*\" in *'import torch'*) kill -ILL $$ ;; esac"
        check = mac.only("torch")
        assert check["status"] == "fail"
        assert "SIGILL" in check["summary"]
        assert "build for newer CPUs" in check["why"]

    def test_an_import_error_is_quoted(self, mac: Machine) -> None:
        mac.ending = "echo 'ImportError: libamdhip64.so.6: cannot open' >&2; exit 1"
        assert "libamdhip64.so.6" in mac.only("torch")["summary"]

    def test_wrong_products(self, mac: Machine) -> None:
        mac.torch["gpu_product"] = 0.0
        assert "multiplies wrongly" in mac.only("torch")["summary"]

    def test_no_gpu_for_a_gpu_build(self, mac: Machine) -> None:
        mac.torch["gpu"] = False
        assert "sees no GPU" in mac.only("torch")["summary"]

    def test_another_minor_version(self, mac: Machine) -> None:
        mac.write("/etc/cheesegrater/doctor.conf", "[stack]\npython = 3.11\n")
        assert "3.12.3, the packages are for 3.11" in mac.only("venv")["summary"]

    def test_no_environment(self, mac: Machine) -> None:
        status, checks = mac.run("--venv", "/opt/none")
        assert status == 1
        assert checks["venv"]["status"] == "fail"
        assert checks["torch"]["status"] == "skip"

    @pytest.mark.parametrize(("pydantic", "status"), [("2.11.10", "fail"), ("2.8.2", "warn")])
    def test_unpatched_gradio_matters_with_newer_pydantic(self, mac: Machine, pydantic: str, status: str) -> None:
        del mac.gradio["result"]
        mac.gradio.update(pydantic=pydantic, error="TypeError: argument of type bool is not iterable")
        assert mac.only("gradio")["status"] == status

    def test_a_failed_patch_is_told(self, mac: Machine) -> None:
        report = {"schema": 1, "copies": [], "failures": [{"reason": "there is no function get_type"}]}
        mac.program("/usr/sbin/cheesegrater-gradio-patch", f"echo '{json.dumps(report)}'; exit 1")
        check = mac.only("gradio")
        assert check["status"] == "warn"
        assert "no function get_type" in check["summary"]


class Answering(http.server.BaseHTTPRequestHandler):
    info = 200

    def do_GET(self) -> None:
        self.send_response(self.info if self.path == "/info" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class TestService:
    @pytest.fixture
    def port(self) -> Iterator[int]:
        server = http.server.HTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
        server.server_close()

    @pytest.mark.parametrize(("info", "status"), [(200, "ok"), (500, "fail")])
    def test_both_pages_are_asked(
        self, mac: Machine, port: int, monkeypatch: pytest.MonkeyPatch, info: int, status: str
    ) -> None:
        monkeypatch.setattr(Answering, "info", info)
        _, checks = mac.run("--only", "service", "--port", str(port))
        answers = next(iter(checks["service"]["evidence"]["answers"].values()))
        assert answers == {"/": 200, "/info": info}
        assert checks["service"]["status"] == status

    def test_an_enabled_service_without_its_port_fails(self, mac: Machine) -> None:
        wanted = mac.root / "etc/systemd/system/multi-user.target.wants/cheesegrater-forge.service"
        wanted.parent.mkdir(parents=True)
        wanted.symlink_to(UNIT)
        assert mac.only("service")["status"] == "fail"


class TestReport:
    def test_every_finding_says_why_and_what_mends_it(self, tmp_path: Path) -> None:
        _, checks = Machine(tmp_path).run("--venv", "/opt/none", "--port", "1")
        for check in checks.values():
            assert set(check) == {"id", "title", "status", "summary", "evidence", "why", "fix", "ref", "seconds"}
            assert bool(check["why"] and check["fix"]) is (check["status"] in {"warn", "fail"})

    def test_the_table_has_no_colour_in_a_pipe(self, mac: Machine) -> None:
        done = mac.call("--only", "cpu-level")
        assert done.stdout.startswith(
            "ok    cpu-level  Intel(R) Xeon(R) CPU           X5690  @ 3.47GHz: x86-64-v2, no AVX"
        )
        assert "\033" not in done.stdout

    @pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
    def test_colour_on_a_terminal_unless_asked_not_to(self, mac: Machine, no_color: str, *, coloured: bool) -> None:
        command = [sys.executable, str(PROGRAM), "--root", str(mac.root), "--only", "cpu-level"]
        leader, follower = os.openpty()
        subprocess.run(command, stdout=follower, check=True, env={**os.environ, "NO_COLOR": no_color})
        os.close(follower)
        assert (b"\033[32m" in os.read(leader, 4096)) is coloured
        os.close(leader)

    def test_list(self, mac: Machine) -> None:
        assert [line.split()[0] for line in mac.call("--list").stdout.splitlines()] == [c.id for c in doctor.CHECKS]

    @pytest.mark.parametrize("arguments", [["--only", "luck"], ["--fast"]])
    def test_usage(self, mac: Machine, arguments: list[str]) -> None:
        assert mac.call(*arguments).returncode == 2

    def test_a_broken_configuration_is_named(self, mac: Machine) -> None:
        mac.write("/etc/cheesegrater/doctor.conf", "[service x]\nport = high\n")
        done = mac.call()
        assert done.returncode == 2
        assert "doctor.conf" in done.stderr

    def test_a_check_that_fails_or_hangs_stops_no_other(self, mac: Machine) -> None:
        def broken(_: doctor.Machine) -> doctor.Result:
            raise RuntimeError("a defect")

        def hanging(_: doctor.Machine) -> doctor.Result:
            threading.Event().wait(5)
            return doctor.Result("ok", "late")

        machine = doctor.Machine(mac.root)
        result, _ = doctor.carry_out(doctor.Check("a", "A", 5, broken), machine)
        assert (result.status, "a defect" in result.summary) == ("fail", True)
        result, seconds = doctor.carry_out(doctor.Check("b", "B", 0.1, hanging), machine)
        assert result.summary == "no answer within 0.1 s"
        assert seconds < 2


def test_names_of_gpu_targets() -> None:
    assert [doctor.gfx_name(number) for number in (100302, 90010, 110000)] == ["gfx1032", "gfx90a", "gfx1100"]
