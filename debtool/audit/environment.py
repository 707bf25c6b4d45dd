"""Environment variables that make good packages execute what the CPU lacks, and where a machine sets them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import field_validator

from debtool.model.definition import Strict, read_toml
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from debtool.audit.baselines import Baseline

_FILE = Path(__file__).with_name("environment.toml")
_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
"""Where systemd looks for system units, the first one wins (systemd.unit(5))."""

Effect = Literal["forces", "stops", "compiles", "ignored"]


class Value(Strict):
    """Some values of a variable.

    Attributes:
        pattern: A regular expression that is found in them; letter case is ignored.
        needs: The CPUID features that a CPU must have, else they do harm.
    """

    pattern: str
    needs: tuple[str, ...]

    @field_validator("pattern")
    @classmethod
    def _is_an_expression(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return pattern


class Variable(Strict):
    """What is known of some variables.

    Attributes:
        names: Their names.
        effect: What they do, or do not.
        reason: How that comes.
        source: Who says so.
        value: The values that do it; all values if it is empty.
    """

    names: tuple[str, ...]
    effect: Effect
    reason: str
    source: str
    value: tuple[Value, ...] = ()


class _File(Strict):
    variable: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable that is set somewhere.

    Attributes:
        name: Its name.
        value: Its value.
        where: The process or the file that sets it.
    """

    name: str
    value: str
    where: str


@dataclass(frozen=True, slots=True)
class Influence:
    """A setting that is known to matter, or known not to.

    Attributes:
        setting: The setting.
        effect: What it does; what is ``ignored`` is told and is no finding.
        needs: What the CPU would need to have and has not; ``native`` is whatever the machine has.
        reason: How that comes.
        source: Who says so.
    """

    setting: Setting
    effect: Effect
    needs: tuple[str, ...]
    reason: str
    source: str


@cache
def variables() -> tuple[Variable, ...]:
    """Return what is known, from ``environment.toml``."""
    return _File.model_validate(read_toml(_FILE.read_text(encoding="utf-8"), _FILE)).variable


def judge(settings: Iterable[Setting], baseline: Baseline) -> tuple[Influence, ...]:
    """Return what ``settings`` do to programs on a CPU of ``baseline``, in their order."""
    known = {name: variable for variable in variables() for name in variable.names}
    found = []
    for setting in settings:
        variable = known.get(setting.name)
        if variable is None or not setting.value:
            continue
        needs = _needs(variable, setting.value, baseline)
        if needs is not None:
            found.append(Influence(setting, variable.effect, needs, variable.reason, variable.source))
    return tuple(found)


def _needs(variable: Variable, value: str, baseline: Baseline) -> tuple[str, ...] | None:
    """Return what the baseline lacks for a value, None if the value does nothing to it."""
    if not variable.value:
        return ()
    lacking = [
        feature
        for one in variable.value
        if re.search(one.pattern, value, re.IGNORECASE)
        for feature in one.needs
        if feature not in baseline.features
    ]
    return tuple(dict.fromkeys(lacking)) or None


def environment_settings(environment: Mapping[str, str], where: str) -> list[Setting]:
    """Return the settings of a process's environment."""
    return [Setting(name, value, where) for name, value in environment.items()]


def process_settings(pid: int, root: Path = Path("/")) -> list[Setting]:
    """Return the settings that a running process was started with (proc(5)).

    Raises:
        InputError: There is no such process, or it is another user's.
    """
    file = root / "proc" / str(pid) / "environ"
    try:
        items = file.read_bytes().decode("utf-8", "surrogateescape").split("\0")
    except PermissionError:
        raise InputError(Issue("the process is another user's", field="--pid", file=file, fix="run as root")) from None
    except (FileNotFoundError, ProcessLookupError):
        raise InputError(Issue(f"there is no process {pid}", field="--pid", fix="look it up again: ps -e")) from None
    pairs = (item.partition("=") for item in items)
    return [Setting(name, value, f"process {pid}") for name, separator, value in pairs if separator]


def machine_settings(root: Path = Path("/")) -> Iterator[Setting]:
    """Yield what files of a machine below ``root`` set for its users and services; what cannot be read is left out.

    Looked at: environment(5) of PAM, environment.d(5), the shells' /etc/profile and /etc/profile.d, systemd's own
    configuration, and its system units with their drop-ins and environment files.
    """
    for file in (
        root / "etc/environment",
        *sorted((root / "usr/lib/environment.d").glob("*.conf")),
        *sorted((root / "etc/environment.d").glob("*.conf")),
        root / "etc/profile",
        *sorted((root / "etc/profile.d").glob("*.sh")),
    ):
        yield from _settings(_text(file), _shown(file, root))
    for manager in ("system", "user"):
        folder = root / "etc/systemd"
        for file in (folder / f"{manager}.conf", *sorted((folder / f"{manager}.conf.d").glob("*.conf"))):
            lines = unit_values(_text(file), "DefaultEnvironment") + unit_values(_text(file), "ManagerEnvironment")
            yield from _settings("\n".join(lines), _shown(file, root))
    for files in _services(root).values():
        yield from _service_settings(files, root)


def unit_values(text: str, key: str) -> list[str]:
    r"""Return the values of ``key`` in the text of unit files, in order; an empty one takes back those before.

    >>> unit_values("Environment=A=1\nEnvironment=\nEnvironment=B=2 \\\n  C=3", "Environment")
    ['B=2    C=3']
    """
    found: list[str] = []
    joined = text.replace("\\\n", " ")
    for value in re.findall(rf"^[ \t]*{key}[ \t]*=[ \t]*(.*?)[ \t]*$", joined, re.MULTILINE):
        found = [*found, value] if value else []
    return found


def _services(root: Path) -> dict[str, list[Path]]:
    """Return the files of every service: its unit, then its drop-ins in order."""
    units: dict[str, Path] = {}
    drop_ins: dict[str, dict[str, Path]] = {}
    for folder in (root / place.lstrip("/") for place in _UNITS):
        for unit in sorted(folder.glob("*.service")):
            units.setdefault(unit.name, unit)
        for file in sorted(folder.glob("*.service.d/*.conf")):
            drop_ins.setdefault(file.parent.name.removesuffix(".d"), {}).setdefault(file.name, file)
    names = sorted({*units, *drop_ins})
    return {
        name: [
            *([units[name]] if name in units else []),
            *(file for _, file in sorted(drop_ins.get(name, {}).items())),
        ]
        for name in names
    }


def _service_settings(files: Sequence[Path], root: Path) -> Iterator[Setting]:
    """Yield what a service's unit files and its environment files set, without what UnsetEnvironment= takes away.

    A setting of an environment file is stronger than one of Environment= (systemd.exec(5)).
    """
    texts = {file: _text(file) for file in files}
    whole = "\n".join(texts.values())
    removed = {name for line in unit_values(whole, "UnsetEnvironment") for name in line.split()}
    found: dict[str, Setting] = {}
    live = set(unit_values(whole, "Environment"))
    for file, text in texts.items():
        lines = [line for line in unit_values(text, "Environment") if line in live]
        found.update((one.name, one) for one in _settings("\n".join(lines), _shown(file, root)))
    for name in unit_values(whole, "EnvironmentFile"):
        path = name.removeprefix("-").strip("\"'")
        file = root / path.lstrip("/")
        found.update((one.name, one) for one in _settings(_text(file), path))
    yield from (setting for name, setting in found.items() if name not in removed)


def _settings(text: str, where: str) -> Iterator[Setting]:
    """Yield the NAME=value words of environment files, shell profiles and Environment= lines."""
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for word in words:
            name, separator, value = word.partition("=")
            if separator and name.isidentifier():
                yield Setting(name, value, where)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _shown(file: Path, root: Path) -> str:
    return "/" + str(file.relative_to(root))
