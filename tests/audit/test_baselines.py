"""CPU baselines: what each can execute, and what it makes of instructions that it does not know."""

from __future__ import annotations

from itertools import pairwise

import pytest
from iced_x86 import CpuidFeature

from debtool.audit.baselines import baselines, find_baseline
from debtool.model.errors import InputError

DECODERS = {name for name in vars(CpuidFeature) if name.isupper()}


def test_every_feature_is_one_that_the_decoder_knows() -> None:
    for baseline in baselines().values():
        assert baseline.features <= DECODERS, baseline.name
        assert {quirk.feature for quirk in baseline.quirks} <= DECODERS


def test_the_levels_of_the_psabi_contain_one_another() -> None:
    levels = [find_baseline(f"x86-64-v{number}").features for number in (1, 2, 3, 4)]
    assert levels == sorted(levels, key=len)
    assert all(lower < upper for lower, upper in pairwise(levels))


def test_westmere() -> None:
    westmere = find_baseline("westmere")
    assert {"SSE4_2", "POPCNT", "AES", "PCLMULQDQ", "RDTSCP"} <= westmere.features
    assert westmere.features.isdisjoint({"AVX", "AVX2", "FMA", "F16C", "BMI1", "BMI2", "LZCNT", "MOVBE", "XSAVE"})
    assert (westmere.march, westmere.qemu) == ("westmere", "Westmere")


def test_what_old_cpus_make_of_new_instructions() -> None:
    westmere = find_baseline("westmere")
    assert westmere.effect("lzcnt") == "silent"
    assert westmere.effect("tzcnt") == "harmless"
    assert westmere.effect("endbr64") == "harmless"
    assert westmere.effect("xtest") == "faults"
    assert westmere.effect("vaddps") == "faults"
    assert not [quirk for quirk in find_baseline("x86-64-v3").quirks if quirk.feature in ("LZCNT", "BMI1")]


def test_the_digest_is_of_what_decides() -> None:
    digests = {name: baseline.digest for name, baseline in baselines().items()}
    assert len(set(digests.values())) == len(digests)


def test_an_unknown_baseline_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InputError) as raised:
        find_baseline("harpertown")
    assert "westmere" in str(raised.value)
