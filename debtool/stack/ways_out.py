"""The known ways out for a wheel that the audit refuses, from ``ways_out.toml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from debtool.audit.rules import matcher
from debtool.audit.summary import title
from debtool.model.definition import Strict, parse_definition
from debtool.stack.audit import faulting

if TYPE_CHECKING:
    from debtool.stack.audit import WheelAudit

_FILE = Path(__file__).with_name("ways_out.toml")

Origin = Literal["index", "artefact"]


class WayOut(Strict):
    """What can be done about some wheels; everything that is named must match.

    Attributes:
        id: Its name.
        distribution: Patterns (fnmatch) of the wheel's normalised distribution name.
        except_: Patterns of distributions that it is not for.
        origin: Where the wheel comes from.
        file: Patterns of a refused file's path.
        symbol: Patterns of a refused demangled symbol.
        text: What to do; ``{wheel}``, ``{version}``, ``{target}``, ``{baseline}``, ``{stack}`` and ``{debtool}`` are
            filled in.
        source: Who says that it helps.
    """

    id: str
    distribution: tuple[str, ...] = ()
    except_: tuple[str, ...] = Field(default=(), alias="except")
    origin: tuple[Origin, ...] = ()
    file: tuple[str, ...] = ()
    symbol: tuple[str, ...] = ()
    text: str
    source: str

    def helps(self, wheel: WheelAudit, origin: Origin) -> bool:
        """Return whether it is known to help ``wheel``, which comes from ``origin``."""
        refused = [*wheel.findings, *(found for one in wheel.expired for found in one.findings)]
        probes = [*wheel.probes, *(probe for one in wheel.expired for probe in one.probes)]
        faults = [probe.fault for probe in probes if probe.fault]
        files = [one.file for one in refused] + [fault.library for fault in faults]
        symbols = [title(one.finding) for one in refused] + [faulting(fault) for fault in faults]
        return (
            (not self.origin or origin in self.origin)
            and not _any(self.except_, [wheel.name])
            and all(
                not patterns or _any(patterns, texts)
                for patterns, texts in (
                    (self.distribution, [wheel.name]),
                    (self.file, files),
                    (self.symbol, symbols),
                )
            )
        )


class _File(Strict):
    way: tuple[WayOut, ...]


@cache
def ways_out() -> tuple[WayOut, ...]:
    """Return every known way out, the best first."""
    return parse_definition(_FILE.read_text(encoding="utf-8"), _FILE, _File, str(_FILE)).way


def _any(patterns: tuple[str, ...], texts: list[str]) -> bool:
    called = matcher(patterns) if patterns else None
    return called is not None and any(called.match(text) for text in texts)
