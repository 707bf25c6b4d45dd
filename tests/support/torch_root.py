"""Debian trixie with what Debian's own PyTorch is built with, and this checkout of debtool in it."""

from __future__ import annotations

import re
import subprocess
import tempfile
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.image import USUAL_PACKAGES, RootImage
from debtool.build.workplace import digest_of
from debtool.torch.build import BUILD_REQUIRES
from debtool.wheel.pipconfig import PIP
from tests.support.stacks import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from debtool.build.root import Root
    from debtool.torch.settings import Level

SUITE = "trixie"
PYTHON = "3.13"
VERSION = "2.6.0"

DEBTOOL = ("/srv/venv/bin/python", "-m", "debtool.cli.main", "--cache", "/srv/cache")
"""The command inside; what it builds is below `CACHE`."""

CACHE = "/srv/cache"


def build_command(level: Level) -> list[str]:
    """Return the words after `DEBTOOL` that build at ``level``, from Debian's source and nothing kept."""
    command = ["torch", "build", f"--target={SUITE}", f"--version={VERSION}", f"--level={level}", "--cpu-only"]
    return [*command, f"--source=debian:{SUITE}", "--launcher=none", "--plain"]


def build_folder(level: Level) -> str:
    """Return where that builds, inside."""
    return f"{CACHE}/torch/{SUITE}-{VERSION}-cpu.noavx-{level}"


# Build-Depends of pytorch 2.6.0+dfsg-7 without those of its tests, so that they are in the image, which is kept. What
# Debian has changed since is installed in each root.
_BUILD_DEPENDS = (
    *("cmake", "debhelper", "dh-exec", "dh-python", "flatbuffers-compiler-dev", "glslc", "googletest"),
    *("libbenchmark-dev", "libblas-dev", "libcpp-httplib-dev", "libcpuinfo-dev", "libdnnl-dev", "libeigen3-dev"),
    *("libflatbuffers-dev", "libfmt-dev", "libfp16-dev", "libfxdiv-dev", "libgloo-dev", "libideep-dev"),
    *("liblapack-dev", "libnuma-dev", "libonnx-dev", "libprotobuf-dev", "libprotoc-dev", "libpsimd-dev"),
    *("libpthreadpool-dev", "libsleef-dev", "libsnappy-dev", "libtensorpipe-dev", "libvulkan-dev"),
    *("libvulkan-memory-allocator-dev", "libxnnpack-dev", "libzstd-dev", "llvm-19", "llvm-19-dev", "mpi-default-dev"),
    *("ninja-build", "nlohmann-json3-dev", "patchelf", "protobuf-compiler", "pybind11-dev", "python3"),
    *("python3-cffi", "python3-dev", "python3-expecttest", "python3-numpy", "python3-onnx", "python3-pybind11"),
    *("python3-setuptools", "python3-yaml"),
)
# What debtool itself asks for.
_OURS = ("build-essential", "ccache", "patch", "python3-venv", "flatbuffers-compiler", "qemu-user")


@contextmanager
def torch_root(cache: Path) -> Iterator[Root]:
    """Open a fresh trixie that can build PyTorch of its own suite, with debtool installed.

    Python packages come from where this machine's pip takes them; inside there is a folder of wheels alone.
    """
    image = RootImage.ensure(SUITE, cache / "roots", packages=[*USUAL_PACKAGES, *_BUILD_DEPENDS, *_OURS])
    with image.instance() as root:
        _add_sources(root)
        root.run(["apt-get", "update", "-q"])
        root.run(["apt-get", "build-dep", "-y", "-q", "--no-install-recommends", "-P", "nocheck", "pytorch"])
        _install_debtool(root, cache)
        yield root


def _add_sources(root: Root) -> None:
    """Let apt know the source packages of the archives that it has, in whichever way they are written down."""
    folder = root.path("/etc/apt/sources.list.d")
    for file in (root.path("/etc/apt/sources.list"), *folder.glob("*.list")):
        if file.is_file():
            text = file.read_text()
            file.write_text(text + re.sub(r"^deb ", "deb-src ", text, flags=re.MULTILINE))
    for file in folder.glob("*.sources"):
        file.write_text(re.sub(r"^Types: deb$", "Types: deb deb-src", file.read_text(), flags=re.MULTILINE))


def _install_debtool(root: Root, cache: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    root.copy_in(_wheels(cache, [*project["dependencies"], *BUILD_REQUIRES]), "/srv/wheels")
    root.path("/etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/wheels\n")
    for name in ("debtool", "repo", "debian-templates", "examples"):
        root.copy_in(REPOSITORY / name, f"/srv/checkout/{name}")
    root.run(["python3", "-m", "venv", "/srv/venv"])
    root.run(["/srv/venv/bin/pip", "install", "-q", "--no-compile", *project["dependencies"]])
    root.path(f"/srv/venv/lib/python{PYTHON}/site-packages/checkout.pth").write_text("/srv/checkout\n")


def _wheels(cache: Path, requirements: Sequence[str]) -> Path:
    """Return a folder with wheels of ``requirements``, and of what they require, for the Python inside."""
    folder = cache / f"wheels-{SUITE}-{digest_of(PYTHON, *requirements)[:16]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            draft = Path(scratch, "wheels")
            command = [*PIP, "download", "--quiet", "--dest", str(draft), "--only-binary", ":all:"]
            command += ["--implementation", "cp", "--python-version", PYTHON, *requirements]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            draft.rename(folder)
    return folder
