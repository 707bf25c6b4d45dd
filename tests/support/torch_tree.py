"""Stand-ins for the sources of PyTorch and torchvision, which are built as those are; their READMEs say how far."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.wheel.pipconfig import PIP
from tests.support.sources import git

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DATA = Path(__file__).parents[1] / "data"
_NATIVE = Path("aten/src/ATen/native")

_PLAIN = """\
namespace at::native {{
double {name}(double x) {{
  return x * {number} + 1;
}}
}} // namespace at::native
"""
# Functions that differ, so that the compiler can share nothing between them.
_SLOW = """\
#include <cstddef>
#include <utility>

namespace at::native {{
template <std::size_t N>
static double work(double x) {{
  double table[16] = {{}};
  for (std::size_t turn = 0; turn < 64; ++turn) {{
    for (std::size_t i = 0; i < 16; ++i) {{
      table[i] = table[(i + N) % 16] * x + static_cast<double>(turn * N + {number});
    }}
  }}
  double total = 0;
  for (const double one : table) {{
    total += one;
  }}
  return total;
}}

template <std::size_t... N>
static double all(double x, std::index_sequence<N...>) {{
  return (work<N>(x) + ... + 0.0);
}}

double {name}(double x) {{
  return all(x, std::make_index_sequence<80>{{}});
}}
}} // namespace at::native
"""
# A table of which the compiler keeps every element's token and value: about 190 MiB a million (gcc 12).
_WIDE = """\
#define TEN(x) x, x, x, x, x, x, x, x, x, x
#define HUNDRED(x) TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x)
#define MANY(x) HUNDRED(x), HUNDRED(x), HUNDRED(x), HUNDRED(x), HUNDRED(x), HUNDRED(x), HUNDRED(x), HUNDRED(x), \\
    HUNDRED(x), HUNDRED(x)

namespace at::native {{
static const unsigned char table[] = {{{elements}}};

double {name}(double x) {{
  return table[static_cast<unsigned char>(x)] + {number};
}}
}} // namespace at::native
"""
_MIB_BEFORE = 25
_THOUSANDS_PER_MIB = 1000 / 190

# The lines that debtool's own patches for Debian's source are made for: they apply exactly or not at all.
_DEBIAN_OPTIONS = """\
option(ONNX_ML "Enable traditional ONNX ML API." ON)
option(HAVE_SOVERSION "Whether to add SOVERSION to the shared objects" ON)
option(BUILD_LIBTORCH_CPU_WITH_DEBUG
       "Nothing here" OFF)
"""
_DEBIAN_RUN_PATH = """\
set(CMAKE_INSTALL_RPATH "")
# Automatically add all linked folders that are NOT in the build directory to
# the run path
"""
_DEBIAN_VERSION = """\
    pytorch_root = Path(__file__).absolute().parent.parent
    version = open(pytorch_root / "version.txt").read().strip()

    return version + '+debian'


"""
# What Debian's patches (1020-dirtyhack, 2000-version) change of it.
_DEBIAN: Mapping[str, Sequence[tuple[str, str]]] = {
    "CMakeLists.txt": (
        ('option(USE_KINETO "kineto" ON)', 'option(USE_KINETO "kineto" OFF)'),
        ('option(USE_NNPACK "NNPACK" ON)', 'option(USE_NNPACK "NNPACK" OFF)'),
        ('option(HAVE_SOVERSION "Names with versions" OFF)\n', _DEBIAN_OPTIONS),
    ),
    "cmake/Dependencies.cmake": (
        ('set(CMAKE_INSTALL_RPATH "${_rpath_portable_origin}")\n', _DEBIAN_RUN_PATH),
        ("set(CMAKE_INSTALL_RPATH_USE_LINK_PATH TRUE)", "set(CMAKE_INSTALL_RPATH_USE_LINK_PATH FALSE)"),
    ),
    "tools/setup_helpers/cmake.py": (('["--", "-j", jobs]', '["--", "-j", jobs, "-v"]'),),
}
_DEBIAN_CONTROL = """\
Source: pytorch
Maintainer: Ada <ada@example.org>
Build-Depends: cmake, ninja-build

Package: python3-torch
Architecture: any
Description: stand-in for PyTorch
"""
_IGNORED = """\
/build/
/dist/
*.egg-info/
__pycache__/
/torch/lib/
/torch/include/
/torch/version.py
/compile_commands.json
"""


def make_tree(
    folder: Path,
    *,
    units: int = 12,
    slow: int = 0,
    version: str = "2.6.0a0",
    debian: bool = False,
    git: bool = False,
    memory: int = 0,
    wide: int = 2,
) -> Path:
    """Make ``folder`` a stand-in for PyTorch's source and return it.

    Beside about 35 steps of its own, its build has one for each of ``units`` small units, and then one for each of
    ``slow`` units that take a second or more to compile. With ``memory``, there are ``wide`` further ones, side by side
    in the build's order, that take about so many MiB of the compiler each.

    ``debian`` makes it what Debian's source package is: ``third_party`` is empty, so that USE_SYSTEM_LIBS=1 is needed,
    libraries have no run path, ninja prints commands instead of descriptions, and the version is ``<version>+debian``
    whatever the variables say. ``git`` makes it a repository with the tag ``v<version>``, without ``a0``, and one
    submodule, third_party/fmt, whose own repository is beside it (``<folder>-fmt``); git must be allowed to fetch it:
    ``-c protocol.file.allow=always``.
    """
    shutil.copytree(_DATA / "torch-standin", folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    (folder / "version.txt").write_text(f"{version}\n")
    _add_units(folder, [*[_PLAIN] * units, *[_SLOW] * slow, *[_WIDE] * (wide if memory else 0)], memory)
    if debian:
        _as_debian(folder, version)
    if git:
        _as_repository(folder, version)
    return folder


def make_vision_tree(folder: Path) -> Path:
    """Make ``folder`` a stand-in for torchvision's source, 0.21.0, and return it."""
    return shutil.copytree(
        _DATA / "torchvision-standin", folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )


def make_builder(folder: Path, interpreter: str) -> Path:
    """Make ``folder`` a venv with all that the stand-ins' builds import; return its Python. Uses pip's own index."""
    subprocess.run([interpreter, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    command = [*PIP, "--python", str(python), "install", "--quiet", "--only-binary", ":all:", "setuptools>=70.1"]
    subprocess.run([*command, "wheel"], check=True)
    return python


def build_environment(python: Path, **variables: str) -> dict[str, str]:
    """Return a clean environment for ``setup.py``: nothing of this process counts but where programs are.

    What is compiled is compiled anew, whatever a compiler cache has.
    """
    path = f"{python.parent}:{os.environ['PATH']}"
    usual = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "MAX_JOBS": "2", "USE_CCACHE": "0"}
    return {"PATH": path, **usual, **variables}


def _add_units(tree: Path, templates: Sequence[str], memory: int) -> None:
    """Write a unit of each template, and register it; CMake builds them in the order of their names."""
    thousands = max(1, round((memory - _MIB_BEFORE) * _THOUSANDS_PER_MIB))
    elements = ", ".join(["MANY(7)"] * thousands)
    functions = tree / _NATIVE / "native_functions.yaml"
    lines = [functions.read_text()]
    for number, template in enumerate(templates):
        name = f"unit{number:03}"
        text = template.format(name=name, number=number, elements=elements)
        (tree / _NATIVE / f"{name.title()}.cpp").write_text(text)
        lines.append(f"- func: {name}\n")
    functions.write_text("".join(lines))


def _as_debian(tree: Path, version: str) -> None:
    for name, changes in _DEBIAN.items():
        for before, after in changes:
            _replace(tree / name, before, after)
    generator = tree / "tools" / "generate_torch_version.py"
    head, first, rest = generator.read_text().partition("    version = ")
    assert first, generator
    generator.write_text(f"{head}{_DEBIAN_VERSION}{rest[rest.index('def main') :]}")
    (tree / "version.txt").write_text(f"{version.removesuffix('a0')}\n")
    for path in sorted((tree / "third_party").iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
    (tree / "debian").mkdir()
    (tree / "debian" / "control").write_text(_DEBIAN_CONTROL)


def _as_repository(tree: Path, version: str) -> None:
    module = tree.parent / f"{tree.name}-fmt"
    (tree / "third_party" / "fmt").rename(module)
    (tree / ".gitignore").write_text(_IGNORED)
    for repository in (module, tree):
        _git(repository, "init", "--quiet", "--initial-branch", "main")
        if repository is tree:
            _git(tree, "submodule", "--quiet", "add", module.absolute().as_uri(), "third_party/fmt")
        _git(repository, "add", "--all")
        _git(repository, "commit", "--quiet", "--message", "The stand-in")
    tag = f"v{version.removesuffix('a0')}"
    _git(tree, "tag", "--annotate", "--message", tag, tag)


def _git(folder: Path, *words: str) -> str:
    settings = ("user.name=Ada", "user.email=ada@example.org", "commit.gpgsign=false", "tag.gpgsign=false")
    given = [word for one in (*settings, "protocol.file.allow=always") for word in ("-c", one)]
    return git(folder, *given, *words)


def _replace(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1, f"{file} has not the one line that Debian changes: {before}"
    file.write_text(text.replace(before, after))
