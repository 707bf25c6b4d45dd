"""What a build of PyTorch for ROCm finds or lacks on a machine: the release, each component, hipcc, and the GPUs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from debtool.build.checks import Check, check
from debtool.build.tools import ask, version_in
from debtool.torch.rocm import Installation, follow, installations, read_rocm, rocm_needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.build.checks import Verdict
    from debtool.model.target import Rocm
    from debtool.torch.wanted import Wanted

_GCC = "usr/lib/gcc/x86_64-linux-gnu"


def check_rocm(wanted: Wanted, root: Path = Path("/")) -> list[Check]:
    """Return the checks of ROCm for a build that is not for the CPU only; ``root`` is the system's."""
    rocm = wanted.target.rocm
    if rocm is None:
        why = f"{wanted.target.title} says no release, and so no packages that the result may depend on"
        fix = "name a target with ROCm (--target noble-rocm6.3), or build without it (--cpu-only)"
        name = wanted.target.name
        return [check("ROCm", "missing", f"target {name} has no ROCm", "a target with ROCm", why, fix=fix)]
    found = read_rocm(wanted.rocm_path, root)
    components = list(_components(wanted, rocm, found))
    checks = [_release(wanted, rocm, found, root)]
    if any(one.verdict == "missing" for one in components):
        checks += _source(rocm, root)
    checks += components
    checks += _cautions(wanted, rocm, found)
    checks += _hipcc(wanted, found, root)
    checks += _gpus(wanted, rocm, found)
    return checks


def _release(wanted: Wanted, rocm: Rocm, found: Installation, root: Path) -> Check:
    name, aim = "ROCm", f"ROCm {rocm.release} at {wanted.rocm_path}"
    why = f"the packages of {wanted.target.name} depend on the libraries of this release (its target file)"
    others = [str(path) for path in installations(root) if follow(path, root) != found.folder]
    instead = next((path for path in others if path == rocm.folder), None)
    # What it is mended by are the components' packages, each of which has a check of its own.
    fix = f"install it from AMD's packages of {rocm.release}"
    if instead is not None:
        fix = f"take the one that is there: --rocm-path {instead}"
    if found.folder is None:
        there = f"there is no {wanted.rocm_path}" + (f", but {', '.join(others)}" if others else "")
        return check(name, "missing", there, aim, why, fix=fix)
    if found.release is None:
        there = f"{wanted.rocm_path} does not say its release (.info/version, include/rocm-core/rocm_version.h)"
        return check(name, "missing", there, aim, why, packages=[found.package("rocm-core")])
    there, wants = f"ROCm {found.release} at {wanted.rocm_path}", Version(rocm.release)
    if found.release == wants:
        return check(name, "ok", there, aim, why)
    if instead is None:
        fix = f"install AMD's packages of {rocm.release}, or build for a target with ROCm {found.release} (--target)"
    if found.release.release[:2] == wants.release[:2]:
        # The sonames of a minor release stay, so the result works, but it is not what the target was checked with.
        return check(name, "warning", there, aim, why, fix=fix)
    age = "too old" if found.release < wants else "too new"
    return check(name, "missing", f"{there}, {age}", aim, why, fix=fix)


def _source(rocm: Rocm, root: Path) -> Iterator[Check]:
    """Yield whether apt knows AMD's archive of the release, without which no component of it can be installed."""
    uri = rocm.source.uri
    if uri.rstrip("/") in _apt_sources(root):
        return
    why = "the missing components are in no other archive; the distribution's own packages of the same names are older"
    archive = f"{uri} {rocm.source.suite} {' '.join(rocm.source.components)}"
    fix = f"unless a mirror of it is known, add it to apt first: {archive}, key {rocm.source.fingerprint} from "
    fix += f"{rocm.source.key_uri}, pinned at {rocm.source.pin}; the stack's archive keyring package does it"
    yield check("AMD's archive", "warning", "apt does not know it", f"{uri} among apt's sources", why, fix=fix)


def _apt_sources(root: Path) -> Iterator[str]:
    """Yield the addresses that apt's sources name (sources.list(5), both formats), switched off ones left out."""
    folder = root / "etc" / "apt"
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.*"))]:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for stanza in re.split(r"\n\s*\n", text):
            if path.suffix == ".sources" and re.search(r"(?im)^enabled:\s*(no|false|off|0)\b", stanza):
                continue
            lines = (line for line in stanza.splitlines() if not line.lstrip().startswith("#"))
            yield from (word.rstrip("/") for line in lines for word in line.split() if "://" in word)


def _components(wanted: Wanted, rocm: Rocm, found: Installation) -> Iterator[Check]:
    release = found.release or Version(rocm.release)
    for component in rocm_needs().component:
        if not component.needed(wanted, release):
            continue
        absent = component.absent(found.folder) if found.folder else [component.name]
        package = found.package(component.package)
        name = f"ROCm {component.name}" if not component.name.startswith("ROCm") else component.name
        wants = f"{package} of ROCm {rocm.release}"
        if not absent:
            yield check(name, "ok", f"below {found.named}", wants, component.reason)
            continue
        there = f"{found.named} has no {', no '.join(absent)}" if found.folder else f"there is no {found.named}"
        yield check(name, "missing", there, wants, component.reason, packages=[package])


def _cautions(wanted: Wanted, rocm: Rocm, found: Installation) -> Iterator[Check]:
    release = found.release or Version(rocm.release)
    for caution in rocm_needs().caution:
        if release in SpecifierSet(caution.rocm) and caution.codename in {None, wanted.target.codename}:
            fix = "build for a target with a later release, such as noble-rocm6.3 (--target)"
            wants = f"ROCm not {caution.rocm}"
            yield check("ROCm release", "warning", caution.problem, wants, caution.source, fix=fix)


def _hipcc(wanted: Wanted, found: Installation, root: Path) -> Iterator[Check]:
    """Yield whether hipcc runs, is of the same release, and its clang finds the C++ library's headers."""
    if found.folder is None or not (found.folder / "bin" / "hipcc").exists():
        return  # a component that is missing
    why = "compiles every HIP object (FindHIP's run_hipcc.cmake)"
    answer = ask([found.folder / "bin" / "hipcc", "--version"], path=wanted.path)
    said = re.search(r"HIP version: *(\S+)", answer.output)
    version = version_in(said[1]) if said else None
    packages = [found.package("hipcc"), found.package("rocm-llvm")]
    if answer.code != 0 or version is None:
        there = f"it does not run: {answer.trouble}" if answer.code != 0 else "it does not say its HIP version"
        yield check("hipcc runs", "missing", there, "a hipcc that works", why, packages=packages)
    elif found.release is not None and version.release[:2] != found.release.release[:2]:
        there = f"it is of HIP {version}, ROCm is {found.release}"
        fix = f"reinstall {' '.join(packages)} of ROCm {found.release}: two releases were mixed"
        yield check("hipcc runs", "warning", there, f"HIP {found.release}", why, fix=fix)
    else:
        yield check("hipcc runs", "ok", f"HIP {version}", "a hipcc that works", why)
    # clang takes a folder of GCC's for an installation if it has this file (clang, ToolChains/Gnu.cpp).
    numbers = (file.parent.name for file in (root / _GCC).glob("*/crtbegin.o"))
    if newest := max((int(number) for number in numbers if number.isdecimal()), default=None):
        why = "ROCm's clang takes the newest GCC's C++ headers, whether they are there or not (ROCm issue 4612)"
        wants, good = f"C++ headers of GCC {newest}", (root / "usr/include/c++" / str(newest)).is_dir()
        there = f"/usr/include/c++/{newest}" if good else f"GCC {newest} without its C++ headers"
        packages = [f"libstdc++-{newest}-dev"]
        yield check("C++ headers for clang", "ok" if good else "missing", there, wants, why, packages=packages)


def _gpus(wanted: Wanted, rocm: Rocm, found: Installation) -> Iterator[Check]:
    name = "GPU"
    if not wanted.gpu:
        why = "without a list PyTorch builds for the GPUs of this machine, or stops (2.6 cmake/public/LoadHIP.cmake:53)"
        yield check(name, "missing", "no GPU is named", rocm.gpu, why, fix=f"--gpu {rocm.gpu}")
        return
    stand_ins = {one.gpu: one for one in rocm_needs().stand_in}
    known = {gpu for gpu in wanted.gpu if found.has_kernels(gpu)}
    reads_kernels = found.folder is not None and (found.folder / "lib/rocblas/library").is_dir()
    for gpu in wanted.gpu:
        if not re.fullmatch(r"gfx[0-9a-f]{3,4}", gpu):
            why = "the compilers' --offload-arch"
            yield check(name, "missing", f"{gpu!r} is no GPU target", "such as gfx1030", why, fix=f"--gpu {rocm.gpu}")
        elif found.folder is not None and not found.has_device_code(gpu):
            why = "clang links them into every kernel"
            there = f"this ROCm's device libraries do not know {gpu}"
            package = found.package("rocm-device-libs")
            fix = f"--gpu {rocm.gpu}, or install {package} of a release that knows it"
            yield check(name, "missing", there, f"oclc_isa_version for {gpu}", why, fix=fix)
        elif gpu in stand_ins and stand_ins[gpu].runs not in wanted.gpu:
            one = stand_ins[gpu]
            there = f"{gpu} without {one.runs}: rocBLAS has no kernels for {gpu}, and every matrix product would abort"
            why = f"with HSA_OVERRIDE_GFX_VERSION={one.override} it runs what is built for {one.runs}: {one.source}"
            yield check(name, "missing", there, one.runs, why, fix=f"--gpu {one.runs}")
        elif gpu not in stand_ins and reads_kernels and gpu not in known:
            there = f"this ROCm's rocBLAS has no kernels for {gpu}"
            fix = f"--gpu {rocm.gpu}, or leave {gpu} out unless rocBLAS was built for it where it runs"
            wants = f"rocblas/library/TensileLibrary_lazy_{gpu}.dat"
            verdict: Verdict = "warning" if known else "missing"
            yield check(name, verdict, there, wants, "every matrix product is rocBLAS's", fix=fix)
        else:
            yield check(name, "ok", gpu, gpu, "device code is made for it")
    if rocm.gpu not in wanted.gpu:
        there = f"built for {', '.join(wanted.gpu)}, but machines of {wanted.target.name} report {rocm.gpu}"
        why = "device code of another GPU is not found there (hipErrorNoBinaryForGpu)"
        yield check("GPU of the target", "missing", there, rocm.gpu, why, fix=f"--gpu {rocm.gpu}")
