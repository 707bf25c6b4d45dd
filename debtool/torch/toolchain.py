"""The programs that a build of PyTorch takes from the machine, and which versions of them it accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import Version

from debtool.build.checks import Check, check
from debtool.build.tools import compiling_trouble, find_compiler, find_tool, tool_check
from debtool.torch.launchers import LAUNCHERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.build.tools import Family, Tool
    from debtool.torch.wanted import Wanted

_COMPILERS: dict[Family, Version] = {"gcc": Version("9.3"), "clang": Version("9")}
"""The oldest compilers: 2.6 CMakeLists.txt:57 and c10/util/C++17.h (pull requests 112858 and 120126)."""

_CMAKE = Version("3.18")
"""2.4 and 2.6 CMakeLists.txt:1, and tools/setup_helpers/cmake.py:75."""

_CMAKE_4, _CMAKE_4_SINCE = Version("4"), Version("2.7")
"""CMake 4 refuses what asks for a policy version below 3.5, as third_party/protobuf does (issues 150149, 150167).

PyTorch works around it from 2.7.0 on (pull request 150203, taken into release/2.7 by 150460). Before, the variable
CMAKE_POLICY_VERSION_MINIMUM=3.5 does (cmake-envvars(7)).
"""

# Links too: a compiler without the C++ library's or the C library's files for linking compiles and fails then.
_PROGRAMS = {
    ".c": '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n',
    ".cpp": """\
#include <optional>
#include <string_view>
template <typename... Numbers> constexpr int sum(Numbers... numbers) { return (numbers + ... + 0); }
int main() {
    std::optional<int> two{2};
    if (const int four = sum(*two, 2); four != 4) return 1;
    return std::string_view("PyTorch").size() == 7 ? 0 : 1;
}
""",
}


def check_compilers(wanted: Wanted) -> Iterator[Check]:
    """Yield whether the C and C++ compilers are there, new enough, and compile for the CPU."""
    march = [f"-march={wanted.march}"]
    for name, variable, suffix, flags in (
        ("C compiler", "CC", ".c", march),
        ("C++ compiler", "CXX", ".cpp", ["-std=c++17", *march]),
    ):
        program = wanted.settings.get(variable) or {"CC": "cc", "CXX": "c++"}[variable]
        why = "2.6 CMakeLists.txt:57, c10/util/C++17.h"
        wants = ", ".join(f"{family} {version} or newer" for family, version in _COMPILERS.items())
        compiler = find_compiler(program, wanted.path)
        tool, packages = compiler.tool, ["build-essential"]
        if tool.path is None or tool.trouble:
            yield check(name, "missing", tool.found, wants, why, packages=packages)
            continue
        oldest = _COMPILERS.get(compiler.family) if compiler.family else None
        if oldest and (tool.version is None or tool.version < oldest):
            fix = f"install a newer one and name it: --set {variable}=g++-12" if suffix == ".cpp" else ""
            yield check(name, "missing", f"{compiler.family} {tool.found}", wants, why, packages=packages, fix=fix)
            continue
        if trouble := compiling_trouble(tool.path, _PROGRAMS[suffix], suffix, flags, wanted.path):
            there = f"{tool.path} does not compile a small program with {' '.join(flags)}: {trouble}"
            yield check(name, "missing", there, "a compiler that works", why, packages=packages)
            continue
        yield check(name, "ok", f"{compiler.family or 'a compiler'}: {tool.found}", wants, why)


def check_tools(wanted: Wanted) -> Iterator[Check]:
    """Yield the checks of programs: cmake, ninja, git, patch, and what is put before the compilers."""
    yield _cmake(wanted)
    why = "without it setup.py takes make, whose steps nobody can count (2.6 tools/setup_helpers/cmake.py:31)"
    yield tool_check(find_tool("ninja", wanted.path), why, ["ninja-build"])
    if wanted.source is None and wanted.flavour == "upstream":
        why = "clones PyTorch and its submodules"
        yield tool_check(find_tool("git", wanted.path), why, ["git"], minimum=Version("2.9"))
    yield tool_check(find_tool("patch", wanted.path), "applies the series of patches", ["patch"])
    launcher = LAUNCHERS[wanted.launcher]
    for program, package in zip(launcher.programs, launcher.packages, strict=True):
        found = find_tool(program, wanted.path)
        one = tool_check(found, f"--launcher {launcher.name}: {launcher.meaning}", [package])
        yield (
            one
            if one.verdict == "ok"
            else check(one.name, one.verdict, one.found, one.wanted, one.why, packages=one.packages)
        )


def _cmake(wanted: Wanted) -> Check:
    # setup.py takes the newer one of both (2.6 tools/setup_helpers/cmake.py:68-92).
    found: list[Tool] = [find_tool(name, wanted.path) for name in ("cmake", "cmake3")]
    tool = max(found, key=lambda one: (one.version or Version("0"), one.name == "cmake"))
    why = f"PyTorch {wanted.version} is configured by it (2.6 CMakeLists.txt:1)"
    result = tool_check(tool, why, ["cmake"], minimum=_CMAKE)
    worked_around = bool(wanted.settings.get("CMAKE_POLICY_VERSION_MINIMUM"))
    new = tool.version is not None and tool.version >= _CMAKE_4
    if result.verdict != "ok" or not new or wanted.version >= _CMAKE_4_SINCE or worked_around:
        return result
    why = "CMake 4 refuses third_party/protobuf before 2.7.0 (PyTorch issue 150149, pull request 150460)"
    fix = "put a CMake 3 first on PATH, such as the distribution's, or --set CMAKE_POLICY_VERSION_MINIMUM=3.5"
    return check("cmake", "missing", tool.found, f"cmake {_CMAKE} or newer, below {_CMAKE_4}", why, fix=fix)
