"""What stands before the compilers: a cache of their results, other machines that help, or nothing.

CMake puts a launcher before each compiler command (CMAKE_<LANG>_COMPILER_LAUNCHER); PyTorch's setup.py passes these
variables on. HIP objects are compiled by a command of FindHIP's, which knows no launcher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LauncherName: TypeAlias = Literal["ccache", "sccache", "distcc", "icecc", "none"]


@dataclass(frozen=True, slots=True)
class Launcher:
    """One way to compile.

    Attributes:
        name: What ``--launcher`` calls it.
        programs: The programs that it needs.
        packages: The Debian packages that bring them.
        passed: Beginnings of the user's own variables that it takes its configuration from.
        meaning: One sentence for people.
    """

    name: LauncherName
    programs: tuple[str, ...]
    packages: tuple[str, ...]
    passed: tuple[str, ...]
    meaning: str


LAUNCHERS: Mapping[str, Launcher] = {
    one.name: one
    for one in (
        Launcher(
            "ccache",
            ("ccache",),
            ("ccache",),
            ("CCACHE_REMOTE_", "CCACHE_MAXSIZE"),
            "what was compiled once is taken from a cache, even after the build's folder is gone",
        ),
        Launcher(
            "sccache",
            ("sccache",),
            ("sccache",),
            ("SCCACHE_", "AWS_", "GOOGLE_APPLICATION_CREDENTIALS"),
            "the same with a cache that several machines share, or with its own compile servers",
        ),
        Launcher(
            "distcc",
            ("ccache", "distcc"),
            ("ccache", "distcc"),
            ("CCACHE_REMOTE_", "CCACHE_MAXSIZE", "DISTCC_"),
            "what the cache lacks is compiled on the machines of DISTCC_HOSTS too",
        ),
        Launcher(
            "icecc",
            ("ccache", "icecc"),
            ("ccache", "icecc"),
            ("CCACHE_REMOTE_", "CCACHE_MAXSIZE", "ICECC_"),
            "what the cache lacks is compiled on the machines of an icecream scheduler too",
        ),
        Launcher("none", (), (), (), "the compilers are called as they are"),
    )
}


def launcher_variables(name: LauncherName, cache: Path, folder: Path, own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which a build in ``folder`` compiles through the launcher called ``name``.

    Args:
        name: The launcher.
        cache: debtool's cache; compilers' results are kept in its folder of the launcher's name.
        folder: The build's folder. Paths below it do not count, so that another folder finds the same results.
        own: The user's environment, of which only the launcher's own settings are taken.

    >>> from pathlib import Path
    >>> launcher_variables("none", Path("/c"), Path("/b"), {})
    {'USE_CCACHE': '0'}
    >>> launcher_variables("distcc", Path("/c"), Path("/b"), {"DISTCC_HOSTS": "a b", "EDITOR": "vi"})["DISTCC_HOSTS"]
    'a b'
    """
    launcher = LAUNCHERS[name]
    taken = {key: value for key, value in own.items() if launcher.passed and key.startswith(launcher.passed)}
    if name == "none":
        return {"USE_CCACHE": "0"}  # or PyTorch looks for a ccache itself (2.6 CMakeLists.txt:396)
    front = "sccache" if name == "sccache" else "ccache"
    variables = {f"CMAKE_{language}_COMPILER_LAUNCHER": front for language in ("C", "CXX")}
    if front == "sccache":
        return {**variables, "SCCACHE_DIR": str(cache / "sccache"), "SCCACHE_BASEDIRS": str(folder), **taken}
    variables |= {
        "CCACHE_BASEDIR": str(folder),
        "CCACHE_DIR": str(cache / "ccache"),
        "CCACHE_MAXSIZE": "30G",
        # The folder that a compiler runs in goes into debug information only, and paths in that are mapped.
        "CCACHE_NOHASHDIR": "1",
    }
    if name != "ccache":
        variables["CCACHE_PREFIX"] = name
    return variables | taken
