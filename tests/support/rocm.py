"""A stand-in for ROCm: the files by which a build finds its components, as recorded, and a hipcc that says its version.

Places: Frugalware's lists of what ROCm 6.2.0, 6.3.1 and 6.4.1 install below /opt/rocm; for configurations that they do
not list, CMake's rule. Contents are made up where nothing but their being there is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

KERNELS = ("gfx1010", "gfx1012", "gfx1030", "gfx1100", "gfx1101", "gfx1102", "gfx1151", "gfx900", "gfx90a", "gfx942")
"""GPUs that rocBLAS of 6.4.1 has kernels for, some of them."""

DEVICE_LIBRARIES = ("1010", "1030", "1031", "1032", "1100", "1101", "900", "906", "90a", "942")
"""GPUs that the device libraries of 6.2.0 know, some of them."""

HIP_VERSIONS = {
    "6.0.2": "6.0.32831",
    "6.1.0": "6.1.40091",
    "6.2.4": "6.2.41134",
    "6.3.4": "6.3.42134",
    "6.4.2": "6.4.43484",
}
"""HIP's version in each release (tests/data/rocm/versions.toml)."""

PACKAGES: dict[str, tuple[str, ...]] = {
    "comgr": ("lib/cmake/amd_comgr/amd_comgr-config.cmake", "lib/libamd_comgr.so"),
    "hip-dev": (
        "lib/cmake/hip/FindHIP.cmake",
        "lib/cmake/hip/FindHIP/run_hipcc.cmake",
        "lib/cmake/hip/hip-config.cmake",
        "lib/cmake/hiprtc/hiprtc-config.cmake",
        "include/hip/hip_runtime.h",
    ),
    "hip-runtime-amd": ("lib/libamdhip64.so", "lib/libhiprtc.so"),
    "hipblas-common-dev": ("lib/cmake/hipblas-common/hipblas-common-config.cmake",),
    "hipblas-dev": ("lib/cmake/hipblas/hipblas-config.cmake", "include/hipblas/hipblas.h"),
    "hipblaslt-dev": ("lib/cmake/hipblaslt/hipblaslt-config.cmake", "include/hipblaslt/hipblaslt-ext.hpp"),
    "hipcc": ("bin/hipcc",),
    "hipcub-dev": ("lib/cmake/hipcub/hipcub-config.cmake",),
    "hipfft-dev": ("lib/cmake/hipfft/hipfft-config.cmake",),
    "hiprand-dev": ("lib/cmake/hiprand/hiprand-config.cmake",),
    "hipsolver-dev": ("lib/cmake/hipsolver/hipsolver-config.cmake",),
    "hipsparse-dev": ("lib/cmake/hipsparse/hipsparse-config.cmake",),
    "hsa-rocr-dev": ("lib/cmake/hsa-runtime64/hsa-runtime64-config.cmake", "include/hsa/hsa.h"),
    "miopen-hip-dev": ("lib/cmake/miopen/miopen-config.cmake",),
    "rccl-dev": ("lib/cmake/rccl/rccl-config.cmake",),
    "rocblas": tuple(f"lib/rocblas/library/TensileLibrary_lazy_{gpu}.dat" for gpu in KERNELS),
    "rocblas-dev": ("lib/cmake/rocblas/rocblas-config.cmake", "include/rocblas/rocblas.h"),
    "rocm-core": (".info/version", "include/rocm-core/rocm_version.h"),
    "rocm-device-libs": (
        "lib/cmake/AMDDeviceLibs/AMDDeviceLibsConfig.cmake",
        "amdgcn/bitcode/ockl.bc",
        *(f"amdgcn/bitcode/oclc_isa_version_{number}.bc" for number in DEVICE_LIBRARIES),
    ),
    "rocm-llvm": ("lib/llvm/bin/clang++",),
    "rocprim-dev": ("lib/cmake/rocprim/rocprim-config.cmake", "include/rocprim/rocprim.hpp"),
    "rocrand-dev": ("lib/cmake/rocrand/rocrand-config.cmake",),
    "rocthrust-dev": ("lib/cmake/rocthrust/rocthrust-config.cmake",),
    "roctracer-dev": ("lib/libroctx64.so", "lib/libroctracer64.so", "include/roctracer/roctracer.h"),
}
"""AMD's packages and the files of each that builds look for."""

# What hipcc and its clang print, but for the source's address and commit.
_HIPCC = """\
#!/bin/sh
[ "$1" = --version ] || exit 1
echo "HIP version: {hip}-0"
echo "AMD clang version 18.0.0git"
echo "Target: x86_64-unknown-linux-gnu"
echo "Thread model: posix"
echo "InstalledDir: /opt/rocm-{release}/lib/llvm/bin"
"""

_HEADER = """\
#define ROCM_VERSION_MAJOR   {0}
#define ROCM_VERSION_MINOR   {1}
#define ROCM_VERSION_PATCH   {2}
"""


def make_rocm(folder: Path, release: str = "6.3.4", without: Collection[str] = ()) -> Path:
    """Make ``folder`` the folder of a ROCm ``release``, but for the files of the packages ``without``; return it."""
    unknown = set(without) - PACKAGES.keys()
    assert not unknown, f"no packages of ROCm: {unknown}"
    contents = {
        ".info/version": f"{release}-76\n",
        "include/rocm-core/rocm_version.h": _HEADER.format(*release.split(".")),
        "bin/hipcc": _HIPCC.format(hip=HIP_VERSIONS.get(release, release), release=release),
    }
    for package, files in PACKAGES.items():
        if package in without:
            continue
        for name in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(contents.get(name, ""))
            if "/bin/" in f"/{name}":
                path.chmod(0o755)
    return folder
