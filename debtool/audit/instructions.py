"""What each instruction is for a baseline: a table of small numbers by the decoder's instruction codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from iced_x86 import Code, CpuidFeature, FlowControl, Instruction, Mnemonic

if TYPE_CHECKING:
    from types import ModuleType

    from debtool.audit.baselines import Baseline

BRANCH, THROUGH, LEA, IMMEDIATE, INVALID, ASKS, BEYOND = range(1, 8)
"""A direct jump or call, one through memory, ``lea``, an operation on a 32- or 64-bit number, no instruction, CPUID;
from BEYOND on, the number of what the baseline lacks. 0 is anything else."""
GOES: Final = IMMEDIATE
"""Up to here a kind tells where code goes."""

_BRANCHES = (FlowControl.UNCONDITIONAL_BRANCH, FlowControl.CONDITIONAL_BRANCH, FlowControl.CALL)
_THROUGH = frozenset({Code.CALL_RM64, Code.JMP_RM64})
_IMMEDIATES = frozenset(
    {
        Code.MOV_R32_IMM32,
        Code.MOV_R64_IMM64,
        Code.MOV_RM32_IMM32,
        Code.MOV_RM64_IMM32,
        Code.PUSHD_IMM32,
        Code.PUSHQ_IMM32,
    }
)


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a baseline lacks.

    Attributes:
        name: Its features, joined with ``+``.
        silent: The baseline does not fault, and computes something else.
        asks: It asks what the CPU or the system has (XGETBV).
    """

    name: str
    silent: bool
    asks: bool


@dataclass(frozen=True, slots=True)
class Table:
    """The kinds of instructions by code, each below 256; and what is lacking, by number."""

    kinds: list[int]
    lacking: list[Lack]


@lru_cache(maxsize=4)
def table_of(baseline: Baseline) -> Table:
    """Return the table for a baseline.

    >>> from debtool.audit.baselines import find_baseline
    >>> table = table_of(find_baseline("westmere"))
    >>> table.lacking[table.kinds[Code.LZCNT_R32_RM32] - BEYOND]
    Lack(name='LZCNT', silent=True, asks=False)
    """
    features, mnemonics = _names(CpuidFeature), _names(Mnemonic)
    codes = _names(Code)
    kinds = [0] * (max(codes) + 1)
    lacking: dict[Lack, int] = {}
    for code in codes:
        instruction = Instruction.create(code)  # without operands, which are not asked for
        mnemonic = mnemonics[instruction.mnemonic].lower()
        lacks = [name for number in instruction.cpuid_features() if (name := features[number]) not in baseline.features]
        effect = baseline.effect(mnemonic)
        if code == Code.INVALID:
            kinds[code] = INVALID
        elif lacks and effect != "harmless":
            lack = Lack("+".join(lacks), effect == "silent", mnemonic == "xgetbv")
            kinds[code] = BEYOND + lacking.setdefault(lack, len(lacking))
        elif instruction.flow_control in _BRANCHES:
            kinds[code] = BRANCH
        elif code in _THROUGH:
            kinds[code] = THROUGH
        else:
            kinds[code] = {"lea": LEA, "cpuid": ASKS}.get(mnemonic, IMMEDIATE if code in _IMMEDIATES else 0)
    return Table(kinds, list(lacking))


def _names(of: ModuleType) -> dict[Any, str]:  # of the decoder's own integer types
    return {value: name for name, value in vars(of).items() if isinstance(value, int) and not name.startswith("_")}
