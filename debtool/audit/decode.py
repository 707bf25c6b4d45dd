"""Instructions that a CPU lacks, and where code goes: one range of a file, as fast as Python goes.

A table of small numbers by instruction code, made once for a baseline, says which instructions are of interest; most
are not, and cost one look-up.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from iced_x86 import Code, CpuidFeature, Decoder, FlowControl, Formatter, FormatterSyntax, Instruction, Mnemonic

from debtool.audit.findings import Feature

if TYPE_CHECKING:
    from debtool.audit.baselines import Baseline
    from debtool.audit.image import Function

_INVALID, _JUMP, _BRANCH, _LEA, _ASKS, _BEYOND = range(1, 7)
"""What an instruction is, 0 for nothing of interest; from _BEYOND on, the number of what is lacking."""

_PADDING: Final = re.compile(
    rb"""(?: [\x00\x90\xcc]
           | [\x66\x2e]* \x0f\x1f (?: [\x00-\x03\x06\x07] | [\x40-\x43\x45-\x47]. | \x44.. | [\x80-\x83\x85-\x87].{4} | \x84.{5} )
           | \x66+\x90 | \x8d[\x76\xb6\x74\xb4][\x00\x26]\x00* | \x87\xdb | \x89\xf6
         )*""",
    re.DOTALL | re.VERBOSE,
)
"""No-operations of every length, INT3 and zeros: what assemblers and linkers align functions with."""


@dataclass(frozen=True, slots=True)
class Use:
    """Instructions that the baseline lacks in one function, before it is known what becomes of them.

    Attributes:
        function: The function.
        features: The instructions, by feature, the most frequent first; empty if the function only asks the CPU.
        silent: The names of those features that do not fault but compute something else.
        data: It cannot be instructions.
        asks_cpu: The function has CPUID or XGETBV itself.
    """

    function: Function
    features: tuple[Feature, ...]
    silent: frozenset[str]
    data: bool
    asks_cpu: bool


@dataclass(frozen=True, slots=True)
class Range:
    """Code to be decoded, whole functions.

    Attributes:
        code: Its bytes.
        address: Where they are loaded.
        starts: Where functions start in it, ascending.
        ends: The address behind each.
        bits: 64 or 32.
        text: The lowest address of code in the file and the one behind the highest.
        got: What 32-bit position-independent code counts addresses from, 0 if unknown.
    """

    code: bytes
    address: int
    starts: array[int]
    ends: array[int]
    bits: int
    text: tuple[int, int]
    got: int = 0


@dataclass(slots=True)
class Found:
    """The instructions beyond the baseline in one function, and what else its decoding showed.

    Attributes:
        features: By feature.
        silent: The names of those that do not fault.
        asks_cpu: It has CPUID or XGETBV.
        invalid: Bytes that are no instruction.
    """

    features: dict[str, Feature] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asks_cpu: bool = False
    invalid: int = 0


@dataclass(slots=True)
class Decoded:
    """What was found in a range.

    Attributes:
        instructions: How many were decoded.
        undecoded: Bytes that are no instructions.
        found: What is of interest, by the start of the function.
        edges: Pairs: the start of a function, an address outside of it that it calls, jumps to or falls through to.
        taken: Addresses of code that ``lea`` computes.
        pieces: Pairs: start and end of code that is in none of the functions.
    """

    instructions: int = 0
    undecoded: int = 0
    found: dict[int, Found] = field(default_factory=dict)
    edges: array[int] = field(default_factory=lambda: array("Q"))
    taken: array[int] = field(default_factory=lambda: array("Q"))
    pieces: array[int] = field(default_factory=lambda: array("Q"))


def _names(of: type) -> dict[int, str]:
    return {value: name for name, value in vars(of).items() if isinstance(value, int) and not name.startswith("_")}


@dataclass(frozen=True, slots=True)
class _Table:
    """What every instruction is for one baseline: by its code; and the features and effects of those that it lacks."""

    kinds: list[int]
    lacking: list[tuple[str, bool]]


@lru_cache(maxsize=4)
def _table(baseline: Baseline) -> _Table:
    features, mnemonics = _names(CpuidFeature), _names(Mnemonic)
    codes = _names(Code)
    kinds = [0] * (max(codes) + 1)
    lacking: dict[tuple[str, bool], int] = {}
    instruction = Instruction()
    for code in codes:
        instruction.code = code
        mnemonic = mnemonics[instruction.mnemonic].lower()
        lacks = [features[number] for number in instruction.cpuid_features() if features[number] not in baseline.features]
        effect = baseline.effect(mnemonic)
        if code == Code.INVALID:
            kinds[code] = _INVALID
        elif lacks and effect != "harmless":
            lack = ("+".join(lacks), effect == "silent")
            kinds[code] = _BEYOND + lacking.setdefault(lack, len(lacking))
        elif mnemonic == "cpuid":
            kinds[code] = _ASKS
        elif mnemonic == "lea":
            kinds[code] = _LEA
        elif instruction.flow_control in (FlowControl.UNCONDITIONAL_BRANCH, FlowControl.CONDITIONAL_BRANCH, FlowControl.CALL):
            kinds[code] = _BRANCH
    return _Table(kinds, list(lacking))


_ENDS = frozenset({
    FlowControl.UNCONDITIONAL_BRANCH, FlowControl.INDIRECT_BRANCH, FlowControl.RETURN, FlowControl.EXCEPTION,
    FlowControl.CALL, FlowControl.INDIRECT_CALL,
})  # fmt: skip
"""After these a function does not go on in the next one; a call at a function's end is one that does not return."""

_XGETBV = frozenset({Mnemonic.XGETBV, Mnemonic.CPUID})


def decode(work: Range, baseline: Baseline) -> Decoded:
    """Decode every function in ``work``, and what is between them, each from its start."""
    table = _table(baseline)
    decoded = Decoded()
    edges: set[int] = set()
    taken: set[int] = set()
    low, high = work.text
    base, code, starts, ends = work.address, work.code, work.starts, work.ends
    limit = base + len(code)
    covered = base
    for row in range(len(starts) + 1):
        start = starts[row] if row < len(starts) else limit
        if covered < start:
            begin = covered + _padding(code, covered - base, start - base)
            if begin < start:
                decoded.pieces.extend((begin, start))
                _decode(work, table, decoded, edges, taken, begin, start)
        if row < len(starts):
            covered = ends[row]
            _decode(work, table, decoded, edges, taken, start, covered)
    decoded.taken.extend(sorted(address for address in taken if low <= address < high))
    return decoded


def _padding(code: bytes, start: int, end: int) -> int:
    match = _PADDING.match(code, start, end)
    return match.end() - start if match else 0


def _decode(
    work: Range, table: _Table, decoded: Decoded, edges: set[int], taken: set[int], start: int, end: int
) -> None:
    """Decode one function."""
    kinds = table.kinds
    instructions = list(Decoder(work.bits, work.code[start - work.address : end - work.address], ip=start))
    if not instructions:
        return
    decoded.instructions += len(instructions)
    edges.clear()
    found: Found | None = None
    for instruction in [one for one in instructions if kinds[one.code]]:
        kind = kinds[instruction.code]
        if kind == _BRANCH:
            target = instruction.near_branch_target
            if not start <= target < end and target:
                edges.add(target)
        elif kind == _LEA:
            if instruction.is_ip_rel_memory_operand:
                taken.add(instruction.memory_displacement)
            elif work.got:
                taken.add((instruction.memory_displacement + work.got) & 0xFFFFFFFF)
        else:
            if found is None:
                found = decoded.found.setdefault(start, Found())
            if kind == _INVALID:
                found.invalid += instruction.len
            elif kind == _ASKS:
                found.asks_cpu = True
            else:
                _count(found, table.lacking[kind - _BEYOND], instruction, work)
    if instructions[-1].flow_control not in _ENDS and kinds[instructions[-1].code] != _INVALID:
        edges.add(end)
    for target in edges:
        decoded.edges.append(start)
        decoded.edges.append(target)
    if found is not None:
        decoded.undecoded += found.invalid


def _count(found: Found, lack: tuple[str, bool], instruction: Instruction, work: Range) -> None:
    name, silent = lack
    held = found.features.get(name)
    if held is None:
        place = instruction.ip - work.address
        code = work.code[place : place + instruction.len].hex()
        found.features[name] = Feature(name, 1, instruction.ip, code, Formatter(FormatterSyntax.INTEL).format(instruction))
        if silent:
            found.silent.add(name)
        if instruction.mnemonic in _XGETBV:
            found.asks_cpu = True
    else:
        found.features[name] = Feature(name, held.count + 1, held.address, held.code, held.text)
