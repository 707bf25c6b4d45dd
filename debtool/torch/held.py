"""What configure made of the settings, held against the intention: a flag that did not take is no surprise later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from debtool.build.cmake import is_true
from debtool.model.errors import Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from debtool.build.cmake import CacheEntry
    from debtool.torch.settings import Chosen
    from debtool.torch.table import Expect

# A build is configured afresh whenever its settings change, so an old CMakeCache.txt is not the reason.
_SET_INSIDE = (
    "the source sets it itself: find where (CMakeLists.txt, cmake/), and change it with --patches DIR, "
    "or ask for what it sets with --set NAME=VALUE"
)
_DROP = "leave it out: debtool torch settings --source DIR shows what the tree reads"
_MISSING = "see what the configure log says of it: something that it needs was not found"
_WORDS = frozenset({"0", "1", "ON", "OFF", "TRUE", "FALSE", "YES", "NO", "Y", "N"})


def held(
    chosen: Iterable[Chosen], cache: Mapping[str, CacheEntry], unused: Sequence[str], summary: Mapping[str, str]
) -> list[Issue]:
    """Return an issue for every setting that did not take; none is what was wanted.

    ``cache`` are the entries of CMakeCache.txt; ``unused`` what CMake says of variables that were not used, and
    ``summary`` PyTorch's closing summary, both from the configure log. Values are compared by CMake's idea of true
    (``OFF`` is ``0``). The summary is what counts in the end: PyTorch turns USE_ROCM off where HIP is not found.
    """
    issues = []
    for one in chosen:
        problem = next(_problems(one, cache, unused, summary), None)
        if problem is not None:
            found, fix = problem
            text = f"{one.value} was wanted, but {found}: {one.reason}"
            issues.append(Issue(text, field=one.name, rule=one.source, fix=fix))
    return issues


def _problems(
    one: Chosen, cache: Mapping[str, CacheEntry], unused: Sequence[str], summary: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what was found instead, and the fix; the first is the cause of the others."""
    if one.name in unused and one.may_be_unused is None:
        yield "CMake says that nothing uses it", _DROP
    if one.expect is not None:
        yield from _cached(one, one.expect, cache)
        yield from _told(one.expect, summary)


def _cached(one: Chosen, expect: Expect, cache: Mapping[str, CacheEntry]) -> Iterator[tuple[str, str]]:
    name = expect.cache or one.name
    entry = cache.get(name)
    if entry is None:
        yield f"CMake's cache has no {name}", _SET_INSIDE if one.goes == "cache" else _DROP
    elif entry.type == "UNINITIALIZED" and one.may_be_unused is None and not one.name.startswith("CMAKE_"):
        # What CMake itself reads is not declared by anybody.
        yield "no file of PyTorch declares it: it was passed, and changes nothing", _DROP
    elif not _agrees(expect, entry.value):
        yield f"CMake's cache has {entry.value or 'nothing'}", _SET_INSIDE
    elif entry.type == "INTERNAL" and expect.value is not None and _is_on(expect.value):
        # cmake_dependent_option keeps what was passed as INTERNAL where its conditions do not hold.
        yield "PyTorch hides it, because what it depends on is off", _MISSING


def _told(expect: Expect, summary: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if expect.summary is None:
        return
    told = summary.get(expect.summary)
    if told is None:
        yield f"PyTorch's closing summary does not tell {expect.summary}", "look at the end of the configure log"
    elif not (_agrees(expect, told) if expect.summary_value is None else told == expect.summary_value):
        yield f"PyTorch's closing summary says {told or 'nothing'}", _MISSING


def _is_on(value: str) -> bool:
    return value.upper() in _WORDS and is_true(value)


def _agrees(expect: Expect, found: str) -> bool:
    if expect.contains is not None:
        words = found.split()
        return all(word in words for word in expect.contains.split()) or expect.contains in found
    wanted = expect.value or ""
    return is_true(wanted) == is_true(found) if wanted.upper() in _WORDS else wanted == found
