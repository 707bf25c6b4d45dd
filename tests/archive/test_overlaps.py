from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.model.errors import InputError

if TYPE_CHECKING:
    from debtool.archive import Archive
    from tests.archive.conftest import MakeDeb

SUITE = "suite"
SHARED = {"/usr/lib/shared": "x"}


def test_a_file_of_another_package_is_refused_before_anything_is_written(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo", files=SHARED)])
    with pytest.raises(InputError, match=r"bar 1\.0-1 .* and foo 1\.0-1 .* both own /usr/lib/shared"):
        archive.publish(SUITE, [make_deb("bar", files=SHARED)])
    assert archive.all_versions("bar") == ()
    assert len(archive.history(SUITE)) == 1


def test_a_shared_file_in_one_delivery_is_refused(archive: Archive, make_deb: MakeDeb) -> None:
    with pytest.raises(InputError, match="both own"):
        archive.publish(SUITE, [make_deb("foo", files=SHARED), make_deb("bar", files=SHARED)])


def test_a_package_that_waits_in_the_pool_is_checked_too(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo", files=SHARED)])
    (bar,) = archive.add([make_deb("bar", files=SHARED)])
    with pytest.raises(InputError, match="both own"):
        archive.publish(SUITE, [archive.pool_path(bar)])


def test_many_shared_files_are_counted(archive: Archive, make_deb: MakeDeb) -> None:
    files = {f"/usr/lib/{number}": "x" for number in range(9)}
    with pytest.raises(InputError, match=r"/usr/lib/4 and 4 more"):
        archive.publish(SUITE, [make_deb("foo", files=files), make_deb("bar", files=files)])


def test_the_merged_usr_is_one_directory(archive: Archive, make_deb: MakeDeb) -> None:
    with pytest.raises(InputError, match="both own"):
        archive.publish(SUITE, [make_deb("foo", files=SHARED), make_deb("bar", files={"/lib/shared": "x"})])


def test_shared_directories_are_no_overlap(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo", files={"/usr/lib/x/a": ""}), make_deb("bar", files={"/usr/lib/x/b": ""})])


def test_versions_of_one_package_share_their_files(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo", files=SHARED)])
    archive.publish(SUITE, [make_deb("foo", "2-1", files=SHARED)], replace=False)


def test_a_file_may_move_between_packages_that_are_both_replaced(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo", files=SHARED)])
    archive.publish(SUITE, [make_deb("foo", "2-1", files={}), make_deb("bar", files=SHARED)])


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"Replaces": "foo"}, True),
        ({"Replaces": "other, foo (<< 2)"}, True),
        ({"Replaces": "foo (<< 1)"}, False),
        ({"Replaces": "virtual"}, False),
        ({"Conflicts": "foo (= 1.0-1)"}, True),
        ({"Conflicts": "virtual"}, True),
        ({"Conflicts": "virtual (>= 1)"}, False),
        ({"Conflicts": "versioned (>= 1)"}, True),
        ({"Conflicts": "versioned (>> 3)"}, False),
        ({"Breaks": "foo"}, False),
    ],
)
def test_relations_allow_what_dpkg_allows(
    archive: Archive, make_deb: MakeDeb, fields: dict[str, str], *, allowed: bool
) -> None:
    foo = make_deb("foo", files=SHARED, fields={"Provides": "virtual, versioned (= 3)"})
    bar = make_deb("bar", files=SHARED, fields=fields)
    archive.publish(SUITE, [foo])
    if allowed:
        archive.publish(SUITE, [bar])
    else:
        with pytest.raises(InputError, match="both own"):
            archive.publish(SUITE, [bar])


@pytest.mark.parametrize(("diverted", "allowed"), [("/usr/lib/shared", True), ("/usr/lib/shared-not", False)])
def test_a_diverted_file_may_be_owned_twice(
    archive: Archive, make_deb: MakeDeb, diverted: str, *, allowed: bool
) -> None:
    preinst = f"#!/bin/sh\nset -e\ndpkg-divert --package bar --add --rename '{diverted}'\n"
    archive.publish(SUITE, [make_deb("foo", files=SHARED)])
    bar = make_deb("bar", files=SHARED, preinst=preinst)
    if allowed:
        archive.publish(SUITE, [bar])
    else:
        with pytest.raises(InputError, match="both own"):
            archive.publish(SUITE, [bar])
