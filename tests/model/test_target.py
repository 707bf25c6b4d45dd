from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
from packaging.markers import Marker, default_environment
from packaging.tags import sys_tags

from debtool.model.errors import InputError
from debtool.model.target import Target, parse_target

TEXT = """\
schema = 1
name = "mine"
title = "My system"
tag = "mine1"
distribution = "debian"
codename = "bookworm"
architecture = "amd64"
python = "{python}"
python_full = "{full}"
glibc = "{glibc}"
dpkg = "{dpkg}"

[sonames]
"libz.so.1" = {{ package = "zlib1g", source = "its index" }}
"""


def target(python: str = "3.12", full: str = "3.12.3", glibc: str = "2.39", dpkg: str = "1.22.6") -> Target:
    return parse_target(TEXT.format(python=python, full=full, glibc=glibc, dpkg=dpkg), Path("mine.toml"))


def this_machine() -> Target:
    return target(
        python="{}.{}".format(*sys.version_info), full=platform.python_version(), glibc=platform.libc_ver()[1]
    )


def test_tags_are_those_of_an_interpreter_there_in_its_order() -> None:
    # packaging asks the running interpreter and C library; a target has only its file. Its releases differ in the place
    # of "linux_x86_64", a platform that no index accepts.
    ours, theirs = list(this_machine().tags()), list(sys_tags())
    assert set(ours) == set(theirs)
    assert [t for t in ours if t.platform != "linux_x86_64"] == [t for t in theirs if t.platform != "linux_x86_64"]


def test_the_environment_is_that_of_an_interpreter_there() -> None:
    # A release and version of a kernel are no property of a distribution's release.
    theirs = {**default_environment(), "platform_release": "", "platform_version": ""}
    assert this_machine().environment() == theirs


def test_markers_are_evaluated_for_the_target_and_not_for_this_machine() -> None:
    new, old = target(), target(python="3.9", full="3.9.2")
    for text in ("python_version < '3.10'", "python_full_version == '3.9.2'", "implementation_version < '3.12'"):
        assert Marker(text).evaluate(old.environment())
        assert not Marker(text).evaluate(new.environment())
    assert Marker("sys_platform == 'linux' and platform_machine == 'x86_64'").evaluate(new.environment())


def test_glibc_bounds_the_wheels() -> None:
    platforms = {tag.platform for tag in target(glibc="2.17").tags()}
    assert "manylinux_2_17_x86_64" in platforms
    assert "manylinux2014_x86_64" in platforms
    assert "manylinux_2_18_x86_64" not in platforms


@pytest.mark.parametrize(
    ("dpkg", "compression"), [("1.21.17", "xz"), ("1.21.18", "zstd"), ("1.22", "zstd"), ("1.9.100", "xz")]
)
def test_dpkg_decides_the_compression(dpkg: str, compression: str) -> None:
    assert target(dpkg=dpkg).compression == compression


def test_site_packages() -> None:
    assert target().site_packages == "lib/python3.12/site-packages"


@pytest.mark.parametrize(
    ("good", "bad", "line", "field"),
    [
        ('python = "3.12"', 'python = "3.12.3"', 8, "python"),
        ('python = "3.12"', "python = 3.12", 8, "python"),
        ('tag = "mine1"', 'tag = "Mine-1"', 4, "tag"),
        ('distribution = "debian"', 'distribution = "arch"', 5, "distribution"),
        ('architecture = "amd64"', 'architecture = "arm64"', 7, "architecture"),
        ("schema = 1", "schema = 2", 1, "schema"),
        ('source = "its index"', 'source = ""', 14, 'sonames."libz.so.1".source'),
    ],
)
def test_a_wrong_value_is_told_with_its_line(good: str, bad: str, line: int, field: str) -> None:
    text = TEXT.format(python="3.12", full="3.12.3", glibc="2.39", dpkg="1.22.6")
    assert good in text
    with pytest.raises(InputError) as caught:
        parse_target(text.replace(good, bad), Path("mine.toml"))
    [issue] = caught.value.issues
    assert (issue.file, issue.line, issue.field, issue.rule) == (Path("mine.toml"), line, field, "docs/targets.md")
