"""PyTorch's settings as data: which are set for which version and level, why, and what a user may change."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import model_validator

from debtool.build.environment import path_map
from debtool.model.definition import Strict, parse_definition
from debtool.model.errors import InputError, Issue
from debtool.model.target import Line
from debtool.torch.held import held as held  # noqa: PLC0414 -- handed out here, with the rest
from debtool.torch.table import PLACEHOLDER, Expect, Goes, Refusal, Release, Setting, Variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.version import Version

    from debtool.torch.releases import Flavour

_FILE = Path(__file__).with_name("settings.toml")
_PAGE = "docs/torch.md"

FORWARDED_PREFIXES = ("BUILD_", "USE_", "CMAKE_")
"""Variables of the environment that setup.py hands on to CMake (PyTorch 2.6.0, tools/setup_helpers/cmake.py:256)."""

_FLAGS = re.compile(r"-m(?:arch|cpu)=(\S+)")


class Level(StrEnum):
    """What a build promises of AVX."""

    DISPATCH_SAFE = "dispatch-safe"
    """Code for AVX is there, and executed only after the CPU was asked."""
    FREE = "free"
    """No unit is compiled for AVX."""


DEFAULT_LEVEL = Level.FREE
"""The stronger promise, which also compiles each ATen kernel once and not three times."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be built.

    Attributes:
        version: The version of the result, with its local part: ``2.7.1+rocm6.3.noavx``.
        level: What it promises.
        rocm: ROCm's point release (``6.3.4``); None for the CPU only.
        gpu: The GPUs that device code is made for.
        march: The compilers' ``-march``.
        flavour: Whose source it is: PyTorch's own, or Debian's package, which is built from the system's libraries.
        here: Whether the machine that builds is the one that runs the result, so that ``native`` is right.
    """

    version: Version
    level: Level = DEFAULT_LEVEL
    rocm: str | None = None
    gpu: tuple[str, ...] = ()
    march: str = "westmere"
    flavour: Flavour = "upstream"
    here: bool = False

    @property
    def holds(self) -> frozenset[str]:
        """The conditions of settings that hold."""
        found = {"cpu-only" if self.rocm is None else "rocm", self.level.value, self.flavour}
        return frozenset(found if self.here else found | {"elsewhere"})


@dataclass(frozen=True, slots=True)
class Chosen:
    """A setting with its value.

    Attributes:
        value: The value; {jobs}, {folder} and {source} are still to be filled in.
        read: Where PyTorch 2.6.0 reads it; empty for what a user added.
        expect: What is held against the outcome; None for nothing.
        by_user: Whether a user set it.
    """

    name: str
    value: str
    goes: Goes
    reason: str
    source: str
    read: tuple[str, ...] = ()
    spelled: str | None = None
    third_party: bool = False
    expect: Expect | None = None
    may_be_unused: str | None = None
    by_user: bool = False


class Settings(Strict):
    """The file ``settings.toml``."""

    forwarded: tuple[Variable, ...]
    plain: tuple[Variable, ...]
    marches: tuple[Line, ...]
    release: tuple[Release, ...]
    setting: tuple[Setting, ...]
    refusal: tuple[Refusal, ...] = ()

    @model_validator(mode="after")
    def _arrives(self) -> Settings:
        for one in self.setting:
            handed_on = self._is_handed_on(one.name)
            if handed_on != (one.goes == "environment"):
                where = "it goes into the environment" if handed_on else "it goes into the cache, or is plain"
                raise ValueError(
                    f"{one.name}: setup.py {'hands it on' if handed_on else 'does not hand it on'}; {where}"
                )
            if one.goes == "plain" and one.name not in self.plain:
                raise ValueError(f"{one.name}: it is not among the plain variables")
        return self

    def _is_handed_on(self, name: str) -> bool:
        return name.startswith(FORWARDED_PREFIXES) or name in self.forwarded

    @cached_property
    def series(self) -> dict[str, Release]:
        """What is known, by series: ``2.6``."""
        return {one.series: one for one in self.release}

    def release_of(self, version: Version) -> Release:
        """Return what is known of the series of ``version``; raises ``InputError``, which names all, if nothing is."""
        series = f"{version.major}.{version.minor}"
        if series not in self.series or version.epoch:
            known = ", ".join(self.series)
            raise InputError(
                Issue(
                    f"PyTorch {version} is not known here", field="--version", fix=f"a release of {known}", rule=_PAGE
                )
            )
        return self.series[series]

    def goes(self, name: str) -> Goes | None:
        """Return where a variable goes; None if nothing would hand it on to whom it is meant for."""
        if self._is_handed_on(name):
            return "environment"
        if name in self.plain:
            return "plain"
        return next((one.goes for one in self.setting if one.name == name), None)

    def chosen(self, choice: Choice) -> tuple[Chosen, ...]:
        """Return the settings of ``choice``, in the file's order.

        Raises:
            InputError: The version is not known, the ``-march`` is beyond the baseline, a GPU is missing or refused.
        """
        self.release_of(choice.version)
        issues = list(self._beyond(choice, f"-march={choice.march}", "--march"))
        if choice.rocm is not None and not choice.gpu:
            issues.append(Issue("a build with ROCm names its GPUs", field="--gpu", fix="--gpu gfx1030", rule=_PAGE))
        if issues:
            raise InputError(*issues)
        words = {"gpu": ";".join(choice.gpu), "march": choice.march, "version": str(choice.version)}
        words["rocm"] = choice.rocm or ""
        found = tuple(_chosen(one, words) for one in self.setting if one.is_for(choice))
        self._refuse(choice, found)
        return found

    def override(self, choice: Choice, chosen: Iterable[Chosen], changes: Mapping[str, str]) -> tuple[Chosen, ...]:
        """Return ``chosen`` with a user's ``changes``: other values, and settings that are not among them.

        Raises:
            InputError: The level, the GPU or the machine forbids a value, or nothing hands such a name on.
        """
        found = {one.name: one for one in chosen}
        issues = []
        for name, value in changes.items():
            goes = self.goes(name)
            if goes is None:
                fix = f"its name begins with {', '.join(FORWARDED_PREFIXES)}, or is one of {', '.join(self.forwarded)}"
                issues.append(Issue("nothing hands it on to CMake", field=name, fix=fix, rule=_PAGE))
            elif "\n" in value or "\0" in value:
                issues.append(Issue("the value is more than a line", field=name, fix="write it in one"))
            else:
                found[name] = _changed(found.get(name), name, value, goes)
        if issues:
            raise InputError(*issues)
        result = tuple(found.values())
        self._refuse(choice, result)
        return result

    def _beyond(self, choice: Choice, flags: str, field: str) -> Iterator[Issue]:
        """Yield what is wrong with the ``-march=`` among compiler flags."""
        for march in _FLAGS.findall(flags):
            if march in self.marches or (march == "native" and choice.here):
                continue
            why = "it is what the builder has" if march == "native" else "it is not known to be within the baseline"
            fix = f"one of {', '.join(self.marches)}"
            yield Issue(f"-march={march} is refused: {why}", field=field, fix=fix, rule=_PAGE)

    def _refuse(self, choice: Choice, chosen: Iterable[Chosen]) -> None:
        issues = [
            Issue(f"{one.value} is refused: {rule.reason}", field=one.name, rule=rule.source, fix=rule.fix)
            for one in chosen
            for rule in self.refusal
            if one.name in rule.names and choice.holds.issuperset(rule.when)
            if re.search(rule.pattern, one.value, re.IGNORECASE)
        ]
        for one in chosen:
            if "FLAGS" in one.name:
                issues += self._beyond(choice, one.value, one.name)
        if issues:
            raise InputError(*issues)


def _chosen(setting: Setting, words: Mapping[str, str]) -> Chosen:
    value = _filled(setting.value, words)
    expect = setting.expect or (None if setting.goes == "plain" else Expect())
    if expect is not None:
        said = expect.contains is not None
        expect = expect.model_copy(
            update={
                "cache": expect.cache or setting.name,
                "value": None if said else _filled(expect.value or setting.value, words),
                "contains": _filled(expect.contains, words) if expect.contains else None,
            }
        )
    kept = ("name", "goes", "reason", "source", "read", "spelled", "third_party", "may_be_unused")
    return Chosen(value=value, expect=expect, **{name: getattr(setting, name) for name in kept})


def _changed(before: Chosen | None, name: str, value: str, goes: Goes) -> Chosen:
    reason = "set by the user" if before is None else f"set by the user instead of {before.value}"
    if before is None:
        expect = None if goes == "plain" else Expect(cache=name, value=value)
        return Chosen(name, value, goes, reason, "--set", expect=expect, by_user=True)
    expect = before.expect
    if expect is not None and expect.contains is not None:
        # Flags: whatever they are now must arrive.
        expect = expect.model_copy(update={"contains": value}) if "{" not in value else None
    elif expect is not None:
        # What the summary calls another BLAS is not known.
        summary = None if expect.summary_value else expect.summary
        expect = expect.model_copy(update={"value": value, "summary": summary, "summary_value": None})
    return replace(before, value=value, reason=reason, expect=expect, by_user=True)


def _filled(text: str, words: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: words.get(match[1], match[0]), text)


def environment(chosen: Iterable[Chosen], *, jobs: int, folder: Path, source: Path) -> dict[str, str]:
    """Return the environment of setup.py; ``folder`` is where `before_file` is written, ``source`` the source tree."""
    words = {"jobs": str(jobs), "folder": str(folder), "source": str(source)}
    return {one.name: _filled(one.value, words) for one in chosen if one.goes != "cache"}


def before_file(chosen: Iterable[Chosen], folder: Path) -> str:
    """Return the CMake file that is read before PyTorch's own first line (``before.cmake``).

    It puts settings into the cache, and keeps the path of the build's ``folder`` out of all units.
    """
    lines = ["# Read before every project(), through CMAKE_PROJECT_INCLUDE_BEFORE: entries that are there are kept."]
    lines.append(f'add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX,HIP>:{path_map(folder)}>")')
    for one in chosen:
        if one.goes == "cache":
            value = re.sub(r'([\\"$])', r"\\\1", one.value)
            kind = "BOOL" if one.value.upper() in _BOOLEANS else "STRING"
            lines.append(f'set({one.name} "{value}" CACHE {kind} "{one.source.translate(_NO_QUOTES)}")')
    return "\n".join(lines) + "\n"


_BOOLEANS = frozenset({"0", "1", "ON", "OFF", "TRUE", "FALSE", "YES", "NO"})
_NO_QUOTES = str.maketrans('"\\$', "'/ ")


def given(pairs: Sequence[str]) -> dict[str, str]:
    """Return a user's ``NAME=VALUE`` words; raises ``InputError`` for those that are none.

    >>> given(["USE_KINETO=1", "CXXFLAGS=-march=westmere -g"])
    {'USE_KINETO': '1', 'CXXFLAGS': '-march=westmere -g'}
    """
    split = [pair.partition("=") for pair in pairs]
    wrong = [pair for pair, (name, equals, _) in zip(pairs, split, strict=True) if not (equals and name.isidentifier())]
    if wrong:
        raise InputError(*(Issue(f"{pair!r} is not NAME=VALUE", field="--set", fix="USE_KINETO=1") for pair in wrong))
    return {name: value for name, _, value in split}


@cache
def load_settings() -> Settings:
    """Return the settings that come with debtool."""
    return parse_definition(_FILE.read_text(encoding="utf-8"), _FILE, Settings, _PAGE)
