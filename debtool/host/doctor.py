#!/usr/bin/python3
"""Diagnose a machine that runs Cheese Grater packages: CPU level, environment, GPU, Python stack, service.

Every check says one of four things: ok; warn, worth mending; fail, will not work; skip, with the reason why there was
nothing to judge. A check that fires says what it saw (evidence), why it matters, and what mends it. Nothing is changed.

Nothing is read but files below /proc, /sys, /etc, /dev, /opt and the installation; PyTorch is only ever imported in a
process of its own, because on a CPU that lacks an instruction the import ends the process.

Exit status: 0 nothing found, 1 something to warn of or failing, 2 usage.
"""

# ruff: noqa: PLC0415 -- what only some checks need is imported there
from __future__ import annotations

import argparse
import configparser
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = 1
"""Version of the JSON report."""

# /proc/cpuinfo names of the x86-64 psABI's micro-architecture levels (SSE3 is "pni" there).
LEVEL_2 = frozenset({"cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"})
LEVEL_3 = LEVEL_2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
WESTMERE = LEVEL_2 | {"pclmulqdq"}

# Values (found as regular expressions, letter case ignored) that make a library run code for a CPU flag, whatever the
# CPU says, or that keep it from starting without the flag. debtool audit env has the same table, with its sources.
FORCES = {
    "OPENBLAS_CORETYPE": (
        (r"^(sandybridge|bulldozer|piledriver|steamroller)$", "avx"),
        (r"^(haswell|zen|excavator)$", "avx2"),
        (r"^(skylakex|cooperlake|sapphirerapids)$", "avx512f"),
    ),
    "ATEN_CPU_CAPABILITY": ((r"^(?-i:avx2)$", "avx2"), (r"^(?-i:avx512)$", "avx512f")),
    "NUMBA_CPU_FEATURES": (
        (r"\+avx512", "avx512f"),
        (r"\+(avx2|fma|bmi2?|f16c|lzcnt|movbe)\b", "avx2"),
        (r"\+avx\b", "avx"),
    ),
    "OPENSSL_ia32cap": ((r"^([^:]*:)?[^~:]", "avx"),),
    "BLIS_ARCH_TYPE": (
        (r"^(sandybridge|bulldozer|piledriver|steamroller)$", "avx"),
        (r"^(haswell|zen[0-9]?|excavator)$", "avx2"),
        (r"^(skx|knl)$", "avx512f"),
    ),
    "NPY_ENABLE_CPU_FEATURES": (
        (r"\bAVX512", "avx512f"),
        (r"\b(AVX2|FMA3|F16C)\b", "avx2"),
        (r"\b(AVX|XOP|FMA4)\b", "avx"),
    ),
}
NOTED = (*FORCES, "LD_PRELOAD", "LD_LIBRARY_PATH", "HSA_OVERRIDE_GFX_VERSION")

AMD = "0x1002"
EVERYONE = 0o006
# rocBLAS was compiled with -mf16c, which lets the compiler use AVX in host code, up to and including ROCm 6.2.
FIRST_ROCM_WITHOUT_AVX = (6, 3)
# The GPU code in the packages is for this target; the chips of its family run it under its name.
CODE_TARGET = 100300

TORCH_PROBE = """
import json, sys
import torch
left = torch.arange(4096, dtype=torch.float32).reshape(64, 64) / 4096
answer = {"version": torch.__version__, "hip": torch.version.hip, "cpu": torch.backends.cpu.get_cpu_capability(),
          "product": float((left @ left.T).trace()), "expected": float((left * left).sum())}
answer["gpu"] = torch.cuda.is_available()
if answer["gpu"]:
    there = left.to("cuda")
    answer["gpu_name"] = torch.cuda.get_device_name(0)
    answer["gpu_product"] = float((there @ there.T).trace())
json.dump(answer, sys.stdout)
"""

GRADIO_PROBE = """
import importlib.metadata, json, sys
answer = {name: None for name in ("gradio", "gradio_client", "pydantic")}
for name in answer:
    try:
        answer[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
if answer["gradio_client"]:
    from gradio_client import utils
    answer["file"] = utils.__file__
    try:
        answer["result"] = utils.json_schema_to_python_type({"type": "object", "additionalProperties": True})
    except Exception as error:
        answer["error"] = f"{type(error).__name__}: {error}"
json.dump(answer, sys.stdout)
"""


@dataclass
class Result:
    """What a check says. `why`, `fix` and `ref` are empty where there is nothing to mend."""

    status: str
    summary: str
    evidence: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    fix: str = ""
    ref: str = ""


class Check(NamedTuple):
    """One check: a stable id, a title, the seconds it may take, and what carries it out."""

    id: str
    title: str
    limit: float
    run: Callable[[Machine], Result]


class Service(NamedTuple):
    """A service of this stack, from the configuration."""

    name: str
    user: str
    port: int | None


class Answer(NamedTuple):
    """How a program that a check ran came out."""

    status: int | None
    output: str
    errors: str


# --- The machine ----------------------------------------------------------------------------------------------------


class Machine:
    """Everything that checks look at, below an injectable root."""

    def __init__(self, root: Path, *, configuration: Path | None = None, venv: str | None = None) -> None:
        """Read the configuration. Raises ValueError for one that cannot be understood."""
        self.root = root
        file = configuration or self.at(f"/etc/{prefix_of(sys.argv[0])}/doctor.conf")
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(self.text(file) or "", source=str(file))
            self.prefix: str = parser.get("stack", "prefix", fallback="cheesegrater")
            self.python: str = parser.get("stack", "python", fallback="")
            self.venv: str = parser.get("stack", "venv", fallback=f"/usr/lib/{self.prefix}/venv")
            self.services = [
                Service(
                    section.partition(" ")[2],
                    parser.get(section, "user", fallback=section.partition(" ")[2]),
                    parser.getint(section, "port", fallback=None),
                )
                for section in parser.sections()
                if section.startswith("service ")
            ]
        except (configparser.Error, ValueError) as error:
            raise ValueError(f"{file}: {error}") from error
        if venv is not None:
            self.venv = venv

    def at(self, path: str) -> Path:
        """Return where an absolute path of the machine is for this process."""
        return self.root / path.lstrip("/")

    def text(self, path: Path | str) -> str | None:
        """Return a file's text, or None where it cannot be read."""
        try:
            return (self.at(path) if isinstance(path, str) else path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def line(self, path: Path | str) -> str:
        """Return a file's text without surrounding space; empty where it cannot be read."""
        return (self.text(path) or "").strip()

    def cpu_flags(self) -> frozenset[str]:
        """Return the first CPU's flags as a set of whole words."""
        found = re.search(r"^flags\s*:(.*)$", self.text("/proc/cpuinfo") or "", re.MULTILINE)
        return frozenset(found.group(1).split()) if found else frozenset()

    def environments(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield where variables are set that this process or a service would get, and the variables."""
        own = (self.text("/proc/self/environ") or "").split("\0")
        yield "this session", dict(item.split("=", 1) for item in own if "=" in item)
        yield "/etc/environment", assignments(self.text("/etc/environment") or "")
        for service in self.services:
            for path, variables in self.service_environment(service):
                yield path, variables

    def service_environment(self, service: Service) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the files that set a service's environment, weakest first (systemd.exec(5)).

        What UnsetEnvironment= names is left out: it wins over every other setting.
        """
        units = {self.shown(file): self.text(file) or "" for file in self.unit_files(service)}
        whole = "\n".join(units.values())
        removed = {name for line in settings(whole, "UnsetEnvironment") for name in line.split()}
        files = [line.lstrip("-") for line in settings(whole, "EnvironmentFile")]
        sources = {path: "\n".join(settings(text, "Environment")) for path, text in units.items()}
        sources |= {path: self.text(path) or "" for path in files}
        for path, text in sources.items():
            yield path, {name: value for name, value in assignments(text).items() if name not in removed}

    def unit_files(self, service: Service) -> list[Path]:
        """Return where a service's unit and its drop-ins are."""
        name = f"{service.name}.service"
        places = [self.at(f"{folder}/systemd/system/{name}") for folder in ("/usr/lib", "/etc")]
        return [*places, *sorted(self.at("/etc/systemd/system").glob(f"{name}.d/*.conf"))]

    def shown(self, path: Path) -> str:
        """Return a path as the machine names it."""
        return "/" + str(path.relative_to(self.root))

    def account(self, name: str) -> tuple[int, int, list[int]] | None:
        """Return uid, gid and supplementary gids of an account, from passwd(5) and group(5)."""
        for line in (self.text("/etc/passwd") or "").splitlines():
            fields = line.split(":")
            if len(fields) >= 4 and fields[0] == name:  # noqa: PLR2004 -- name:x:uid:gid
                extra = [int(gid) for _, gid, members in self.groups() if name in members]
                return int(fields[2]), int(fields[3]), extra
        return None

    def groups(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield name, gid and members of every group (group(5))."""
        for line in (self.text("/etc/group") or "").splitlines():
            fields = line.split(":")
            if len(fields) == 4:  # noqa: PLR2004 -- name:x:gid:members
                yield fields[0], fields[2], fields[3].split(",")

    def torch_build(self) -> tuple[str, str | None] | None:
        """Return version and HIP version of the installed PyTorch from its own version.py; None where there is none."""
        for file in self.at(self.venv).glob("lib/python3*/site-packages/torch/version.py"):
            text = self.text(file) or ""
            version = re.search(r"^__version__\s*=\s*'([^']*)'", text, re.MULTILINE)
            hip = re.search(r"^hip\b[^=]*=\s*'([^']*)'", text, re.MULTILINE)
            return version.group(1) if version else "unknown", hip.group(1) if hip else None
        return None

    def probe(self, source: str, limit: float) -> Answer:
        """Run Python source with the stack's interpreter, as the service's user and with its environment."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
        how: dict[str, Any] = {}
        if self.services:
            for _, variables in self.service_environment(self.services[0]):
                environment.update(variables)
            account = self.account(self.services[0].user)
            if account and os.geteuid() == 0:
                how = {"user": account[0], "group": account[1], "extra_groups": account[2]}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        return run([str(self.at(f"{self.venv}/bin/python3")), "-c", source], limit, env=environment, cwd="/", **how)


def prefix_of(program: str) -> str:
    """Return the stack that a program's name tells: it is installed as <prefix>-doctor.

    >>> prefix_of("/usr/bin/cheesegrater-doctor"), prefix_of("doctor.py")
    ('cheesegrater', 'cheesegrater')
    """
    name = Path(program).name
    return name.removesuffix("-doctor") if name.endswith("-doctor") else "cheesegrater"


def settings(unit: str, name: str) -> list[str]:
    r"""Return the values of a setting in the text of unit files, in order.

    >>> settings("[Service]\nUser=a\nUser=b", "User")
    ['a', 'b']
    """
    return re.findall(rf"^\s*{name}=(.*?)\s*$", unit, re.MULTILINE)


def assignments(text: str) -> dict[str, str]:
    """Return NAME=value words of environment files and Environment= lines; quotes are removed as a shell would."""
    found = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for word in words:
            name, separator, value = word.partition("=")
            if separator and name.isidentifier():
                found[name] = value
    return found


def run(command: list[str], limit: float, **how: Any) -> Answer:
    """Run a program for at most ``limit`` seconds; a status of None means that it could not run or did not end."""
    try:
        done = subprocess.run(  # noqa: PLW1510 -- the status is the answer
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=limit, **how
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "", f"no answer within {limit:g} s")
    except OSError as error:
        return Answer(None, "", str(error))
    return Answer(done.returncode, done.stdout, done.stderr)


def told(answer: Answer) -> str:
    """Return in words how a program ended."""
    if answer.status is None:
        return answer.errors
    if answer.status < 0:
        name = signal.Signals(-answer.status).name
        return f"ended by {name}" + (": it ran an instruction that this CPU has not got" if name == "SIGILL" else "")
    last = (answer.errors.strip().splitlines() or [""])[-1]
    return f"exit status {answer.status}" + (f": {last}" if last else "")


def parsed(answer: Answer) -> dict[str, Any] | None:
    """Return a probe's JSON object, or None where it did not get that far."""
    with contextlib.suppress(ValueError):
        if answer.status == 0 and isinstance(found := json.loads(answer.output), dict):
            return found
    return None


# --- CPU and environment --------------------------------------------------------------------------------------------


def check_cpu(machine: Machine) -> Result:
    """Grade the CPU against what the packages are built for; AVX is a fact and never an error."""
    flags = machine.cpu_flags()
    if not flags:
        return Result("skip", "/proc/cpuinfo names no flags: not an x86 machine, or not Linux")
    model = re.search(r"^model name\s*:\s*(.*)$", machine.text("/proc/cpuinfo") or "", re.MULTILINE)
    name = model.group(1) if model else "unknown CPU"
    level = 3 if flags >= LEVEL_3 else 2 if flags >= LEVEL_2 else 1
    virtual = "hypervisor" in flags
    evidence = {
        "model": name,
        "level": f"x86-64-v{level}",
        "avx": "avx" in flags,
        "virtual_machine": virtual,
        "missing": sorted(WESTMERE - flags),
    }
    summary = f"{name}: x86-64-v{level}, {'AVX' if 'avx' in flags else 'no AVX'}"
    if not evidence["missing"]:
        return Result("ok", summary, evidence)
    return Result(
        "fail" if level == 1 else "warn",
        f"{summary}; lacks {', '.join(sorted(WESTMERE - flags))}",
        evidence,
        "The packages may use every instruction of a Westmere Xeon. What is missing ends a program with SIGILL.",
        "Give the virtual machine a CPU model of at least Westmere (qemu: -cpu Westmere or host)."
        if virtual
        else "These packages are not for this machine.",
        "x86-64 psABI, micro-architecture levels",
    )


def check_environment(machine: Machine) -> Result:
    """Look for variables that make a library run code that this CPU has not got."""
    flags = machine.cpu_flags()
    seen: dict[str, dict[str, str]] = {}
    forcing: list[str] = []
    harmless: list[str] = []
    for where, variables in machine.environments():
        noted = {name: variables[name] for name in NOTED if name in variables}
        if noted:
            seen[where] = noted
        for name, value in noted.items():
            if needed := forces(name, value):
                (harmless if needed <= flags else forcing).append(f"{name}={value} ({where})")
    evidence = {"variables": seen, "forcing": forcing}
    if forcing:
        return Result(
            "fail",
            "; ".join(forcing),
            evidence,
            "The library believes the variable and not the CPU: it ends with SIGILL, or does not start.",
            "Remove the variable where it is set, log in again, and restart the service.",
        )
    if harmless:
        return Result("ok", f"{'; '.join(harmless)}: harmless on this CPU, which has what is asked for", evidence)
    return Result("ok", "no variable forces instructions on a library", evidence)


def forces(name: str, value: str) -> frozenset[str]:
    """Return the CPU flags that a variable's value makes a library use.

    >>> sorted(forces("OPENBLAS_CORETYPE", "Haswell")), sorted(forces("OPENBLAS_CORETYPE", "Nehalem"))
    (['avx2'], [])
    """
    return frozenset(
        flag for pattern, flag in FORCES.get(name, ()) if value and re.search(pattern, value, re.IGNORECASE)
    )


# --- GPU ------------------------------------------------------------------------------------------------------------


def no_gpu_wanted(machine: Machine) -> Result | None:
    """Return the reason why GPU checks have nothing to judge, if there is one."""
    build = machine.torch_build()
    if build is None:
        return Result("skip", f"PyTorch is not installed in {machine.venv}")
    if build[1] is None:
        return Result("skip", f"PyTorch {build[0]} computes on the CPU; no GPU is needed")
    return None


def gpus(machine: Machine) -> list[dict[str, Any]]:
    """Return the GPUs that the kernel's compute driver offers, from its topology."""
    found: list[dict[str, Any]] = []
    for file in sorted(machine.at("/sys/class/kfd/kfd/topology/nodes").glob("*/properties")):
        values = dict(line.split(None, 1) for line in (machine.text(file) or "").splitlines() if " " in line)
        number = values.get("gfx_target_version", "0").strip()
        if number.isdigit() and int(number):
            found.append({"node": file.parent.name, "target": int(number), "name": gfx_name(int(number))})
    return found


def gfx_name(target: int) -> str:
    """Return the compiler's name of a gfx_target_version.

    >>> gfx_name(100302), gfx_name(90010)
    ('gfx1032', 'gfx90a')
    """
    return f"gfx{target // 10000}{target // 100 % 100:x}{target % 100:x}"


def check_driver(machine: Machine) -> Result:
    """Is there an AMD GPU, and does the kernel's driver hold it and offer it for computing?"""
    if (nothing := no_gpu_wanted(machine)) is not None:
        return nothing
    cards = [
        {"slot": device.name, "device": machine.line(device / "device")}
        for device in sorted(machine.at("/sys/bus/pci/devices").glob("*"))
        if machine.line(device / "vendor") == AMD and machine.line(device / "class").startswith("0x03")
    ]
    evidence: dict[str, Any] = {
        "cards": cards,
        "amdgpu": machine.at("/sys/module/amdgpu").is_dir(),
        "gpus": gpus(machine),
    }
    if not cards:
        return Result("fail", "no AMD graphics card on the PCI bus", evidence, "This PyTorch computes on AMD GPUs.",
                      "Check that the card is seated and powered: lspci -nn -d 1002:")  # fmt: skip
    if not evidence["amdgpu"]:
        return Result("fail", "the kernel module amdgpu is not loaded", evidence, "Without it there is no /dev/kfd.",
                      "modprobe amdgpu; if that fails: apt install linux-firmware, and look at dmesg")  # fmt: skip
    if not evidence["gpus"]:
        return Result("fail", "amdgpu is loaded, but offers no GPU for computing", evidence,
                      "The driver skipped the card; the check gpu-atomics shows the most common reason.",
                      "dmesg | grep -i kfd")  # fmt: skip
    names = ", ".join(f"{gpu['name']} (node {gpu['node']})" for gpu in evidence["gpus"])
    return Result("ok", names, evidence)


def check_access(machine: Machine) -> Result:
    """May the service's user open the compute device? Judged by the node's own group, never by a fixed name."""
    if (nothing := no_gpu_wanted(machine)) is not None:
        return nothing
    try:
        node = machine.at("/dev/kfd").stat()
    except OSError:
        return Result(
            "fail", "there is no /dev/kfd", {}, "ROCm reaches the GPU through it.", "See the check gpu-driver."
        )
    group = next((name for name, gid, _ in machine.groups() if gid == str(node.st_gid)), str(node.st_gid))
    evidence: dict[str, Any] = {"group": group, "mode": f"{node.st_mode & 0o777:o}", "users": {}}
    lacking = []
    for service in machine.services:
        account = machine.account(service.user)
        if account is None:
            continue
        unit = "\n".join(machine.text(file) or "" for file in machine.unit_files(service))
        granted = settings(unit, "SupplementaryGroups")
        allowed = node.st_mode & EVERYONE == EVERYONE or node.st_gid in {account[1], *account[2]}
        allowed = allowed or any(group in line.split() for line in granted)
        evidence["users"][service.user] = allowed
        if not allowed:
            lacking.append(service.user)
    if lacking:
        return Result(
            "fail",
            f"{', '.join(lacking)} may not open /dev/kfd (group {group})",
            evidence,
            "PyTorch then sees no GPU, though rocminfo works as root.",
            f"usermod --append --groups {group} {lacking[0]}, then restart the service.",
        )
    return Result(
        "ok", f"/dev/kfd, group {group}: " + (", ".join(evidence["users"]) or "no service to check"), evidence
    )


def check_target(machine: Machine) -> Result:
    """Will the GPU accept the code in the packages, with the override that the service has?"""
    if (nothing := no_gpu_wanted(machine)) is not None:
        return nothing
    found = gpus(machine)
    if not found:
        return Result("skip", "the compute driver offers no GPU: see gpu-driver")
    overrides = {}
    for service in machine.services:
        for _, variables in machine.service_environment(service):
            if "HSA_OVERRIDE_GFX_VERSION" in variables:
                overrides[service.name] = variables["HSA_OVERRIDE_GFX_VERSION"]
    evidence = {"gpus": found, "override": overrides}
    wanted = "{}.{}.{}".format(CODE_TARGET // 10000, CODE_TARGET // 100 % 100, CODE_TARGET % 100)
    for gpu in found:
        family = gpu["target"] // 100 == CODE_TARGET // 100
        wrong = [service.name for service in machine.services if overrides.get(service.name, "") != wanted]
        if family and gpu["target"] != CODE_TARGET and wrong:
            return Result(
                "fail",
                f"{gpu['name']} without HSA_OVERRIDE_GFX_VERSION={wanted} for {', '.join(wrong)}",
                evidence,
                f"The packages carry code for {gfx_name(CODE_TARGET)}; {gpu['name']} runs it under that name only "
                "(otherwise: hipErrorNoBinaryForGpu, invalid device function).",
                f"Set it with Environment= in a drop-in: systemctl edit {wrong[0]}; then restart the service.",
            )
        if not family:
            return Result("warn", f"{gpu['name']}: the packages carry code for {gfx_name(CODE_TARGET)}", evidence,
                          "Code for another family does not run, whatever the override says.",
                          "Use packages built for this GPU.")  # fmt: skip
    return Result(
        "ok", ", ".join(gpu["name"] for gpu in found) + (f", override {wanted}" if overrides else ""), evidence
    )


def check_atomics(machine: Machine) -> Result:
    """Did the kernel skip the card because its slot has no PCI Express atomics and its firmware needs them?"""
    if (nothing := no_gpu_wanted(machine)) is not None:
        return nothing
    log = kernel_log(machine)
    if log is None:
        return Result("skip", "the kernel's log cannot be read; run as root")
    found = re.search(r"skipped device (\S+), PCI rejects atomics(?: (\d+)<(\d+))?", log)
    if found is None:
        return Result("ok", "no card was skipped for lack of PCI Express atomics")
    device, have, need = found.groups()
    evidence = {"device": device, "firmware": have, "needed": need}
    if need == "0":
        return Result("fail", f"{device} needs PCI Express atomics, which this slot has not got", evidence,
                      "No firmware of this card works without them, and PCI Express 2.0 boards have none.",
                      "Use a card that works without atomics (Radeon RX 6000).",
                      "Linux, drivers/gpu/drm/amd/amdkfd/kfd_device.c")  # fmt: skip
    return Result(
        "fail",
        f"{device} was skipped: its firmware is {have or 'too old'}, without atomics it needs {need or 'a newer one'}",
        evidence,
        "PCI Express 2.0 boards have no atomics. Newer firmware of this card does without; the board is not at fault.",
        "apt install --only-upgrade linux-firmware firmware-amd-graphics, update-initramfs -u, and restart.",
        "Linux, drivers/gpu/drm/amd/amdkfd/kfd_device.c",
    )


def kernel_log(machine: Machine) -> str | None:
    """Return this boot's kernel log from the journal, the ring buffer or a file; None where nobody lets us."""
    for command in (["/usr/bin/journalctl", "--dmesg", "--boot", "--no-pager", "--output=cat"], ["/usr/bin/dmesg"]):
        program = machine.at(command[0])
        if os.access(program, os.X_OK):
            answer = run([str(program), *command[1:]], 10)
            if answer.status == 0 and answer.output:
                return answer.output
    return machine.text("/var/log/kern.log")


def check_rocm(machine: Machine) -> Result:
    """Which ROCm is installed, and does its host code run on this CPU?"""
    if (nothing := no_gpu_wanted(machine)) is not None:
        return nothing
    versions = {}
    for file in sorted(machine.at("/opt").glob("rocm*/.info/version")):
        versions[machine.shown(file.parent.parent)] = machine.line(file)
    evidence = {"installed": versions, "torch_hip": (machine.torch_build() or ("", None))[1]}
    if not versions:
        return Result("fail", "no ROCm below /opt", evidence, "This PyTorch needs ROCm's libraries.",
                      "apt install --fix-broken; the packages depend on what they need")  # fmt: skip
    old = [
        f"{version} ({place})"
        for place, version in versions.items()
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < FIRST_ROCM_WITHOUT_AVX
    ]
    if old and "avx" not in machine.cpu_flags():
        return Result("fail", f"ROCm {', '.join(old)} on a CPU without AVX", evidence,
                      "rocBLAS up to ROCm 6.2 runs AVX instructions on the host and ends with SIGILL.",
                      "Use the target with ROCm 6.3 or later; debtool audit isa /opt/rocm/lib shows what there is.",
                      "ROCm/rocBLAS issue 1422")  # fmt: skip
    return Result("ok", ", ".join(sorted(set(versions.values()))), evidence)


# --- Python ---------------------------------------------------------------------------------------------------------


def check_venv(machine: Machine) -> Result:
    """Is the stack's interpreter there, and of the minor version that the packages are for?"""
    python = machine.at(f"{machine.venv}/bin/python3")
    evidence: dict[str, Any] = {"venv": machine.venv, "wanted": machine.python}
    if not machine.at(f"{machine.venv}/pyvenv.cfg").is_file():
        return Result("fail", f"{machine.venv} is no virtual environment", evidence, "The stack's packages live in it.",
                      f"apt install --reinstall {machine.prefix}-runtime")  # fmt: skip
    answer = run(
        [str(python), "-I", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.prefix)"], 30
    )
    if answer.status != 0:
        return Result("fail", f"{machine.venv}/bin/python3: {told(answer)}", evidence,
                      "Nothing of the stack runs without it.",
                      f"apt install --reinstall {machine.prefix}-runtime, and its python3 package")  # fmt: skip
    version, prefix = answer.output.split("\n")[:2]
    evidence.update(version=version, prefix=prefix)
    if machine.python and not version.startswith(machine.python + "."):
        return Result("fail", f"the interpreter is {version}, the packages are for {machine.python}", evidence,
                      "Compiled modules load in one minor version only.",
                      "Install the packages of the target that fits this release.")  # fmt: skip
    return Result("ok", f"Python {version} in {machine.venv}", evidence)


def check_torch(machine: Machine) -> Result:
    """Import PyTorch and multiply matrices in a process of its own, as the service's user."""
    build = machine.torch_build()
    if build is None:
        return Result("skip", f"PyTorch is not installed in {machine.venv}")
    answer = machine.probe(TORCH_PROBE, 170)
    found = parsed(answer)
    evidence: dict[str, Any] = {"version": build[0], "hip": build[1], "ended": told(answer), **(found or {})}
    if found is None:
        illegal = answer.status == -signal.SIGILL
        return Result(
            "fail",
            f"PyTorch {build[0]}: {told(answer)}",
            evidence,
            "PyTorch does not import, or cannot multiply two matrices."
            + (" A build for newer CPUs, or a variable that forces one: see environment." if illegal else ""),
            "Install the stack's own PyTorch package." if illegal else "dpkg --verify, then apt install --fix-broken",
        )
    exact = [found["product"]] + ([found["gpu_product"]] if found["gpu"] else [])
    if any(abs(product - found["expected"]) > 1e-3 * abs(found["expected"]) for product in exact):
        return Result("fail", f"PyTorch {build[0]} multiplies wrongly", evidence, "Pictures would be noise or black.",
                      "Report it with this evidence; compare with --always-cpu.")  # fmt: skip
    if build[1] is not None and not found["gpu"]:
        return Result("fail", f"PyTorch {build[0]} sees no GPU", evidence, "The service refuses to start, or is slow.",
                      "See the checks gpu-driver, gpu-access and gpu-target.")  # fmt: skip
    return Result("ok", f"PyTorch {found['version']} on {found.get('gpu_name', 'the CPU')}, {found['cpu']}", evidence)


def check_gradio(machine: Machine) -> Result:
    """Does the gradio_client that the service imports handle boolean schemas, as pydantic 2.11 emits them?"""
    if not any(machine.at(machine.venv).glob("lib/python3*/site-packages/gradio_client")):
        return Result("skip", f"gradio_client is not installed in {machine.venv}")
    evidence: dict[str, Any] = {}
    patch = f"{machine.prefix}-gradio-patch"
    program = machine.at(f"/usr/sbin/{patch}")
    if os.access(program, os.X_OK):
        with contextlib.suppress(ValueError):
            evidence["patch"] = json.loads(run([str(program), "status", "--json"], 30).output)
    answer = machine.probe(GRADIO_PROBE, 60)
    found = parsed(answer)
    if found is None:
        return Result("fail", f"gradio_client: {told(answer)}", evidence, "The web interface cannot start.",
                      "apt install --fix-broken; dpkg --verify")  # fmt: skip
    evidence.update(found)
    names = f"gradio_client {found['gradio_client']} with pydantic {found['pydantic']}"
    if "result" in found:
        failures = evidence.get("patch", {}).get("failures")
        if failures:
            return Result("warn", f"{names} works, but an attempt to patch failed: {failures[0]['reason']}", evidence,
                          "Another copy, or the next upgrade, may not work.",
                          f"{patch} status; {patch} apply")  # fmt: skip
        return Result("ok", f"{names}: boolean schemas work", evidence)
    newer = tuple(int(part) for part in re.findall(r"\d+", found["pydantic"] or "0")[:2]) >= (2, 11)
    return Result(
        "fail" if newer else "warn",
        f"{names}: {found['error']}",
        evidence,
        "The start page answers 500: pydantic 2.11 and later write additionalProperties: true."
        if newer
        else "It works with this pydantic; from 2.11 on the start page answers 500.",
        f"apt install --reinstall {patch}; {patch} apply",
        "gradio issue 10792",
    )


def check_service(machine: Machine) -> Result:
    """Do the enabled services answer? By HTTP: a process may live on without its port."""
    from http import HTTPStatus
    from http.client import HTTPConnection, HTTPException

    asked: dict[str, dict[str, Any]] = {}
    for service in machine.services:
        wanted = machine.at(f"/etc/systemd/system/multi-user.target.wants/{service.name}.service")
        if service.port is None or not (service.name == "--port" or wanted.is_symlink()):
            continue
        answers: dict[str, Any] = {}
        for path in ("/", "/info"):
            connection = HTTPConnection("127.0.0.1", service.port, timeout=10)
            try:
                connection.request("GET", path)
                answers[path] = connection.getresponse().status
            except (OSError, HTTPException) as error:
                answers[path] = str(error) or type(error).__name__
            finally:
                connection.close()
        asked[f"{service.name}, port {service.port}"] = answers
    if not asked:
        return Result("skip", "no service is enabled, and no --port was given")
    wrong = [
        f"{name}{path}: {answer}"
        for name, answers in asked.items()
        for path, answer in answers.items()
        if answer != HTTPStatus.OK
    ]
    if wrong:
        return Result("fail", "; ".join(wrong), {"answers": asked},
                      "systemd may show the service as running all the same: only HTTP tells.",
                      "journalctl --unit NAME --boot shows what stopped it")  # fmt: skip
    return Result("ok", "; ".join(asked), {"answers": asked})


CHECKS = (
    Check("cpu-level", "CPU instruction level", 10, check_cpu),
    Check("environment", "Variables that force instructions", 10, check_environment),
    Check("gpu-driver", "GPU and its driver", 10, check_driver),
    Check("gpu-access", "Permission to use the GPU", 10, check_access),
    Check("gpu-target", "GPU code for this GPU", 10, check_target),
    Check("gpu-atomics", "PCI Express atomics", 30, check_atomics),
    Check("rocm", "ROCm version", 10, check_rocm),
    Check("venv", "Python environment", 40, check_venv),
    Check("torch", "PyTorch computes", 180, check_torch),
    Check("gradio", "Web interface library", 100, check_gradio),
    Check("service", "Service answers", 60, check_service),
)


# --- Running and reporting ------------------------------------------------------------------------------------------


def carry_out(check: Check, machine: Machine) -> tuple[Result, float]:
    """Run one check within its time; a check that fails itself is a failing result and never stops the others."""
    results: list[Result] = []

    def work() -> None:
        try:
            results.append(check.run(machine))
        except Exception as error:  # noqa: BLE001 -- a defect here must not hide what the other checks found
            results.append(Result("fail", f"the check itself failed: {type(error).__name__}: {error}",
                                  why="A defect of this program.", fix="Report it, with --json."))  # fmt: skip

    started = time.monotonic()
    # A thread: a read below /proc or /sys can hang in the kernel, where no signal reaches it.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(check.limit)
    result = results[0] if results else Result(
        "fail", f"no answer within {check.limit:g} s", why="A device or a file system hangs.", fix="Look at dmesg."
    )  # fmt: skip
    return result, time.monotonic() - started


def report_text(outcomes: list[tuple[Check, Result, float]], *, colour: bool) -> str:
    """Return the table for people: a line a check, and below it why and what mends it."""
    codes = {"ok": "32", "warn": "33", "fail": "31", "skip": "2"}
    width = max(len(check.id) for check, _, _ in outcomes)
    lines = []
    for check, result, _ in outcomes:
        status = f"\033[{codes[result.status]}m{result.status:<4}\033[0m" if colour else f"{result.status:<4}"
        lines.append(f"{status}  {check.id:<{width}}  {result.summary}")
        lines += [
            f"{'':<{width + 8}}{label}: {text}"
            for label, text in (("why", result.why), ("fix", result.fix), ("see", result.ref))
            if text
        ]
    return "\n".join(lines)


def report_json(outcomes: list[tuple[Check, Result, float]]) -> str:
    """Return the report for programs: one object."""
    checks = [
        {"id": check.id, "title": check.title, **asdict(result), "seconds": round(seconds, 3)}
        for check, result, seconds in outcomes
    ]
    statuses = [result.status for _, result, _ in outcomes]
    summary = {status: statuses.count(status) for status in ("ok", "warn", "fail", "skip")}
    return json.dumps({"schema": SCHEMA, "summary": summary, "checks": checks}, indent=2)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description="Diagnose this machine. Nothing is changed.",
        epilog="Exit status: 0 nothing found, 1 something to warn of or failing, 2 usage.",
    )
    parser.add_argument("--list", action="store_true", help="list the checks and end")
    parser.add_argument("--only", action="append", metavar="ID", choices=[check.id for check in CHECKS],
                        help="run this check only; may be repeated")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--port", type=int, help="also ask an application on this port of 127.0.0.1")
    parser.add_argument("--venv", help="the Python environment (default: the configuration's)")
    parser.add_argument("--config", type=Path, help="configuration (default: /etc/cheesegrater/doctor.conf)")
    parser.add_argument("--root", type=Path, default=Path("/"), help="look below this folder instead of /")
    return parser


def main(arguments: list[str]) -> int:
    """Run the program and return its exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{check.id:<12} {check.title}" for check in CHECKS))
        return 0
    try:
        machine = Machine(options.root.absolute(), configuration=options.config, venv=options.venv)
    except ValueError as error:
        parser.error(str(error))
    if options.port is not None:
        machine.services.append(Service("--port", "", options.port))
    chosen = [check for check in CHECKS if not options.only or check.id in options.only]
    outcomes = [(check, *carry_out(check, machine)) for check in chosen]
    if options.json:
        print(report_json(outcomes))
    else:
        print(report_text(outcomes, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR")))
    return 1 if any(result.status in {"warn", "fail"} for _, result, _ in outcomes) else 0


def run_program() -> NoReturn:
    """Run with this process's arguments."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run_program()
