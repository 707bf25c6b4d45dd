"""Instructions that a CPU lacks, and where code goes: one range of a file, as fast as Python goes.

Most instructions are of no interest, and cost one look-up in a table.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field, replace
from itertools import compress, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from iced_x86 import (
    Decoder,
    FlowControl,
    Formatter,
    FormatterSyntax,
    Instruction,
    Mnemonic,
)

from debtool.audit.findings import Feature
from debtool.audit.instructions import ASKS, BEYOND, BRANCH, GOES, IMMEDIATE, INVALID, LEA, THROUGH, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from debtool.audit.baselines import Baseline
    from debtool.audit.functions import Function
    from debtool.audit.instructions import Lack

_BATCH: Final = 2**16
"""Instructions that are looked at together: what bounds the memory for code in which no function is known."""

_PADDING: Final = re.compile(
    rb"""(?: [\x00\x90\xcc]
           | [\x66\x2e]* \x0f\x1f (?: [\x00-\x03\x06\x07] | [\x40-\x43\x45-\x47]. | \x44..
                                   | [\x80-\x83\x85-\x87].{4} | \x84.{5} )
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
        address: Where it is loaded.
        size: Its bytes.
        offset: Where they are in the file.
        starts: Where functions start in it, ascending.
        ends: The address behind each.
        bits: 64 or 32.
        text: The lowest address of code in the file and the one behind the highest.
        got: What 32-bit position-independent code counts addresses from, 0 if unknown.
        absolute: It is a program that is not relocated, whose code has addresses as they are.
        objects: Those of the starts where symbols say that there is data.
        named: Something says that these are functions; otherwise what is called in them may be the start of another.
    """

    address: int
    size: int
    offset: int
    starts: array[int]
    ends: array[int]
    bits: int
    text: tuple[int, int]
    got: int = 0
    absolute: bool = False
    objects: frozenset[int] = frozenset()
    named: bool = True


@dataclass(slots=True)
class Found:
    """The instructions beyond the baseline in one function, and what else its decoding showed.

    Attributes:
        features: By feature.
        silent: The names of those that do not fault.
        asks_cpu: It has CPUID or XGETBV.
        invalid: Bytes that are no instruction.
        unreached: Of a function with bytes that are no instruction: what the other features are that only decoding
            one instruction after the other found, and that its entry does not lead to.
        runs_dry: Its entry leads to bytes that are no instruction.
    """

    features: dict[str, Feature] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asks_cpu: bool = False
    invalid: int = 0
    unreached: dict[str, Feature] = field(default_factory=dict)
    runs_dry: bool = False


@dataclass(slots=True)
class Decoded:
    """What was found in a range.

    Attributes:
        instructions: How many were decoded.
        undecoded: Bytes that are no instructions.
        found: What is of interest, by the start of the function.
        edges: Pairs: the start of a function, and an address outside of it that it calls, jumps to or falls into, or of
            the slot with such an address.
        taken: Addresses of code that ``lea`` computes.
        pieces: Pairs: start and end of what is between the functions and not only padding; it is not decoded.
    """

    instructions: int = 0
    undecoded: int = 0
    found: dict[int, Found] = field(default_factory=dict)
    edges: array[int] = field(default_factory=lambda: array("Q"))
    taken: array[int] = field(default_factory=lambda: array("Q"))
    pieces: array[int] = field(default_factory=lambda: array("Q"))


_STOPS = frozenset({
    FlowControl.UNCONDITIONAL_BRANCH, FlowControl.INDIRECT_BRANCH, FlowControl.RETURN, FlowControl.EXCEPTION,
})  # fmt: skip
"""After these control goes elsewhere."""


def _picks(kind: int) -> bytes:
    """Return a table for ``bytes.translate`` that is 1 for ``kind`` and 0 for all others."""
    return bytes(one == kind for one in range(256))


_IS_BRANCH, _IS_THROUGH, _IS_LEA, _IS_IMMEDIATE = map(_picks, (BRANCH, THROUGH, LEA, IMMEDIATE))
_COMMON = bytes((0, BRANCH))
_JUMPS = frozenset({FlowControl.CONDITIONAL_BRANCH, FlowControl.UNCONDITIONAL_BRANCH})
_FILLING = frozenset({Mnemonic.NOP, Mnemonic.INT3})
_ENDS = _STOPS | {FlowControl.CALL, FlowControl.INDIRECT_CALL}
"""After these a function does not go on in the next one; a call at a function's end is one that does not return."""


def decode(work: Range, code: bytes, baseline: Baseline) -> Decoded:
    """Decode every function in ``work``, whose bytes are ``code``, and what is between them, each from its start."""
    return _Decoding(work, code, baseline).run()


class _Decoding:
    """One range, while it is decoded."""

    def __init__(self, work: Range, code: bytes, baseline: Baseline) -> None:
        self.work = work
        self.code = code
        self.table = table_of(baseline)
        self._formatter = Formatter(FormatterSyntax.INTEL)
        self.decoded = Decoded()
        self.taken: set[int] = set()
        self.falling: int | None = None  # the function whose last instruction goes on to the next one

    def run(self) -> Decoded:
        work = self.work
        limit = work.address + len(self.code)
        covered = work.address
        for start, end in (*zip(work.starts, work.ends, strict=True), (limit, limit)):
            if covered < start:
                begin = covered + self._padding(covered, start)
                if begin < start:
                    self._fall(begin)
                    self.decoded.pieces.extend((begin, start))
            self._fall(start)
            self._function(start, end)
            covered = end
        low, high = work.text
        self.decoded.taken.extend(sorted(address for address in self.taken if low <= address < high))
        return self.decoded

    def _fall(self, start: int) -> None:
        """Note that the function before goes on in what is at ``start``, if it does."""
        if self.falling is not None:
            self.decoded.edges.extend((self.falling, start))
            self.falling = None

    def _padding(self, start: int, end: int) -> int:
        """Return how many bytes of padding there are at ``start``."""
        base = self.work.address
        match = _PADDING.match(self.code, start - base, end - base)
        return match.end() + base - start if match else 0

    def _function(self, start: int, end: int) -> None:
        """Decode from ``start`` to ``end``."""
        kinds = self.table.kinds
        is_data = start in self.work.objects
        edges: set[int] = set()
        found: Found | None = None
        last: Instruction | None = None
        decoder = Decoder(self.work.bits, self._bytes(start, end), ip=start)
        # Python's loops are what takes time. There are two that see every instruction, this list and this
        # comprehension; what follows works on bytes, and on the few instructions that they pick.
        for instructions in (list(decoder),) if end - start <= _BATCH else _batches(decoder):
            what = bytes([kinds[instruction.code] for instruction in instructions])
            self.decoded.instructions += len(what)
            if others := what.translate(None, _COMMON):
                if max(others) > GOES:
                    found = self._note(found, instructions, what)
                if not is_data:
                    self._refer(instructions, what, edges)
            branches = compress(instructions, what.translate(_IS_BRANCH))
            edges.update([to for one in branches if not start <= (to := one.near_branch_target) < end])
            if not self.work.named:
                # In code that nothing names, what is called is the start of a function, as far as anything is.
                calls = (one for one in instructions if one.flow_control == FlowControl.CALL)
                edges.update(one.near_branch_target for one in calls)
            # A function without a size has the padding behind it.
            last = next((one for one in reversed(instructions) if one.mnemonic not in _FILLING), last)
        if found is not None:
            self.decoded.found[start] = found
            if found.invalid and found.features and not is_data:
                self._part(found, start, end)
        if not is_data and last is not None and last.flow_control not in _ENDS and not self._invalid(last):
            self.falling = start
        for target in edges:
            self.decoded.edges.extend((start, target))

    def _refer(self, instructions: Sequence[Instruction], what: bytes, edges: set[int]) -> None:
        """Note addresses that are taken, and slots that are called through."""
        for instruction in compress(instructions, what.translate(_IS_LEA)):
            if instruction.is_ip_rel_memory_operand:
                self.taken.add(instruction.memory_displacement)
            elif self.work.got:
                self.taken.add((instruction.memory_displacement + self.work.got) & 0xFFFFFFFF)
        for instruction in compress(instructions, what.translate(_IS_THROUGH)):
            if instruction.is_ip_rel_memory_operand:
                edges.add(instruction.memory_displacement)
        if self.work.absolute:
            for instruction in compress(instructions, what.translate(_IS_IMMEDIATE)):
                self.taken.add(instruction.immediate(instruction.op_count - 1))

    def _bytes(self, start: int, end: int) -> bytes:
        return self.code[start - self.work.address : end - self.work.address]

    def _note(self, found: Found | None, instructions: Sequence[Instruction], what: bytes) -> Found:
        """Note what the baseline lacks, what asks the CPU, and what is no instruction; ``what`` has their kinds."""
        found = found or Found()
        for kind in set(what):
            if kind <= GOES:
                continue
            first = instructions[what.index(kind)]
            if kind == INVALID:
                invalid = sum(one.len for one in compress(instructions, (one == kind for one in what)))
                found.invalid += invalid
                self.decoded.undecoded += invalid
            elif kind == ASKS:
                found.asks_cpu = True
            else:
                self._count(found, self.table.lacking[kind - BEYOND], first, what.count(kind))
        return found

    def _count(self, found: Found, lack: Lack, first: Instruction, count: int) -> None:
        """Note ``count`` instructions of one kind."""
        code = self._bytes(first.ip, first.next_ip).hex()
        feature = Feature(lack.name, count, first.ip, code, self._formatter.format(first))
        found.features = joined(found.features, {lack.name: feature})
        found.asks_cpu = found.asks_cpu or lack.asks
        if lack.silent:
            found.silent.add(lack.name)

    def _part(self, found: Found, start: int, end: int) -> None:
        """Keep apart what the entry of a function with data in it does not lead to.

        In doubt it is code: where an indirect jump may lead anywhere, nothing is kept apart.
        """
        reached, sure = self._reached(start, end)
        found.runs_dry = any(map(self._invalid, reached))
        if not sure:
            return
        kinds, addresses = self.table.kinds, {one.ip for one in reached}
        # Decoding in line, as before, less what is reached.
        others = [one for one in Decoder(self.work.bits, self._bytes(start, end), ip=start) if one.ip not in addresses]
        parts = []
        for instructions in (reached, others):
            part = self._note(None, instructions, bytes([kinds[one.code] for one in instructions]))
            self.decoded.undecoded -= part.invalid  # counted before
            parts.append(part)
        found.features, found.silent, found.asks_cpu = parts[0].features, parts[0].silent, parts[0].asks_cpu
        found.unreached = parts[1].features

    def _invalid(self, instruction: Instruction) -> bool:
        return self.table.kinds[instruction.code] == INVALID

    def _reached(self, start: int, end: int) -> tuple[list[Instruction], bool]:
        """Return the instructions that ``start`` leads to by direct jumps, ascending, and whether those are all."""
        reached: dict[int, Instruction] = {}
        code, waiting, sure = self._bytes(start, end), [start], True
        while waiting:
            begin = waiting.pop()
            for instruction in Decoder(self.work.bits, code[begin - start :], ip=begin):
                if instruction.ip in reached:
                    break
                reached[instruction.ip] = instruction
                flow = instruction.flow_control
                if flow in _JUMPS and start <= instruction.near_branch_target < end:
                    waiting.append(instruction.near_branch_target)
                sure = sure and flow != FlowControl.INDIRECT_BRANCH
                if flow in _STOPS or self._invalid(instruction):
                    break
        return [reached[address] for address in sorted(reached)], sure


def joined(features: Mapping[str, Feature], others: Mapping[str, Feature]) -> dict[str, Feature]:
    """Return both, those of one name added up."""
    both = {**others, **features}
    for name in features.keys() & others.keys():
        first = min(features[name], others[name], key=attrgetter("address"))
        both[name] = replace(first, count=features[name].count + others[name].count)
    return both


def _batches(decoder: Decoder) -> Iterator[list[Instruction]]:
    while batch := list(islice(decoder, _BATCH)):
        yield batch
