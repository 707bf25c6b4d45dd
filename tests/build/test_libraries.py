"""Which package of a release has a library: against an archive made here, and what is shipped against real packages."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from debtool.build.apt import AptArchive, opened, release_sources
from debtool.build.libraries import Guess, find_libraries, format_libraries, holder
from debtool.model.errors import InputError, OutsideError
from debtool.model.shipped import shipped
from debtool.model.target import Soname
from debtool.model.versions import DebianVersion
from debtool.stack.project import read_libraries
from tests.support.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.build.image import RootImage

SYMBOLS = """\
libone.so.1 libone1 #MINVER#
| libone1 (>> 1.4), libone1 (<< 1.5)
 early@ONE_1 1.0
 later@ONE_1 1.2
 new@ONE_2 1.4
 inner@ONE_PRIVATE 0 1
 plain@Base 1.0
 added@Base 1.3
#MISSING: 1.2# gone@ONE_0 0.9
libold.so.1 libone1 #MINVER#
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    one = Repository(tmp_path / "archive")
    one.folder.mkdir()
    files = {"libone.so.1.4": "", "libone.so.1": "libone.so.1.4", "libold.so.1": ""}
    one.add("libone1", "1.4-1", files, symbols=SYMBOLS)
    one.add("libtwo3", "3.1-2", {"libtwo.so.3": ""}, shlibs="libtwo 3 libtwo3 (>= 3.0), libtwo3 (<< 4)\n")
    one.add("libbare0", "0.1", {"libbare.so.0": ""})
    one.add("libfast0", "0.3-1", {"fast/liblinear.so.0": ""}, shlibs="liblinear 0 liblinear0\n")
    one.add("libslow0", "0.3-1", {"slow/liblinear.so.0": ""}, shlibs="liblinear 0 liblinear0\n")
    one.add("libtwin-a", "1", {"libtwin.so.1": ""})
    one.add("libtwin-b", "1", {"libtwin.so.1": ""})
    one.add("libpair1", "1", {"libpair.so.1": ""}, shlibs="libpair 1 libpair1 (>= 1), pair-data\n")
    return one


@pytest.fixture
def archive(repository: Repository) -> Iterator[AptArchive]:
    with opened(repository.publish(), "amd64") as archive:
        yield archive


def test_symbols_say_what_dpkg_shlibdeps_would(archive: AptArchive) -> None:
    assert find_libraries({"libone.so.1": None}, archive, "one") == {
        "libone.so.1": Soname(
            package="libone1",
            minimum="0.9",
            versions={"ONE_1": "1.0", "ONE_2": "1.4"},
            symbols={"later@ONE_1": "1.2", "plain": "1.0", "added": "1.3"},
            source="symbols of libone1 1.4-1 (one)",
        )
    }


def test_a_library_is_found_by_the_name_of_its_file(archive: AptArchive) -> None:
    found = find_libraries({"libone.so.1.4": None, "libone.so.1": None}, archive, "one")
    assert found["libone.so.1.4"] == found["libone.so.1"]


def test_symbols_of_an_emptied_library_are_those_of_its_package(archive: AptArchive) -> None:
    known = find_libraries({"libold.so.1": None}, archive, "one")["libold.so.1"]
    assert known.minimum is None
    assert known.versions == {"ONE_1": "1.0", "ONE_2": "1.4"}
    assert known.symbols["later@ONE_1"] == "1.2"


def test_shlibs_and_files_where_there_are_no_symbols(archive: AptArchive) -> None:
    found = find_libraries({"libtwo.so.3": None, "libbare.so.0": None, "liblinear.so.0": None}, archive, "one")
    assert found == {
        "libbare.so.0": Soname(package="libbare0", source="files of libbare0 0.1 (one)"),
        "liblinear.so.0": Soname(package="liblinear0", source="shlibs of libfast0 0.3-1 (one)"),
        "libtwo.so.3": Soname(package="libtwo3", minimum="3.0", below="4", source="shlibs of libtwo3 3.1-2 (one)"),
    }
    assert [holder(known) for known in found.values()] == ["libbare0", "libfast0", "libtwo3"]


def test_what_cannot_be_told_is_told_at_once(archive: AptArchive) -> None:
    with pytest.raises(InputError) as caught:
        find_libraries(dict.fromkeys(["libtwin.so.1", "libpair.so.1", "libnone.so.9"]), archive, "one")
    assert {issue.field: issue.problem for issue in caught.value.issues} == {
        "libtwin.so.1": "several packages have it: libtwin-a, libtwin-b",
        "libpair.so.1": "its users depend on more than one package between two versions: libpair1 (>= 1), pair-data",
        "libnone.so.9": "no package of one has this library where the dynamic linker looks",
    }
    assert find_libraries({"libtwin.so.1": "libtwin-b"}, archive, "one")["libtwin.so.1"].package == "libtwin-b"


def test_contents_are_needed_only_where_no_package_is_named(repository: Repository) -> None:
    with opened(repository.publish(contents=False), "amd64") as archive:
        assert find_libraries({"libtwo.so.3": "libtwo3"}, archive, "one")["libtwo.so.3"].minimum == "3.0"
        with pytest.raises(OutsideError, match="no Contents"):
            find_libraries({"libtwo.so.3": "libbare0"}, archive, "one")


def test_a_guess_leaves_out_what_is_younger(archive: AptArchive) -> None:
    guess = Guess({"libone1": "1.1-3"})
    found = find_libraries({"libone.so.1": None, "libtwo.so.3": None}, archive, "one", guess)
    one, two = found["libone.so.1"], found["libtwo.so.3"]
    assert (one.minimum, one.versions, one.verified) == ("0.9", {"ONE_1": "1.0"}, False)
    assert one.symbols == {"plain": "1.0", "added": "1.3"}, "a symbol that is not there must not pass for one that is"
    assert one.source.endswith("no archive of this release was at hand, it is taken to have libone1 1.1-3")
    assert (two.package, two.minimum, two.below, two.verified) == ("libtwo3", None, "4", False)


def test_what_is_written_is_read_again(archive: AptArchive, tmp_path: Path) -> None:
    found = find_libraries({"libone.so.1": None, "libtwo.so.3": None}, archive, "one")
    file = tmp_path / "one.libraries.json"
    file.write_text(format_libraries(found))
    read = read_libraries(file)["sonames"]
    assert {soname: Soname.model_validate(values) for soname, values in read.items()} == found


def test_an_archive_that_cannot_be_reached(tmp_path: Path) -> None:
    sources = release_sources("debian", "bookworm", f"file://{tmp_path}/nowhere")
    with pytest.raises(OutsideError, match="--mirror"), opened(sources, "amd64"):
        pass


# dpkg's own reading of a symbols file, as lines: soname, smallest version; soname, symbol@version, minimum.
_REFERENCE = """
use Dpkg::Shlibs::SymbolFile;
my $file = Dpkg::Shlibs::SymbolFile->new(file => $ARGV[0], arch => 'amd64');
for my $soname ($file->get_sonames) {
    print join("\\t", $soname, '', $file->get_smallest_version($soname) // ''), "\\n";
    for my $one ($file->get_symbols($soname)) {
        next if $one->{deprecated} or $one->{dep_id};
        print join("\\t", $soname, $one->get_symbolname, $one->{minver}), "\\n";
    }
}
"""


def test_what_is_shipped_is_as_dpkg_reads_the_packages(bookworm: RootImage) -> None:
    shipped_table = read_libraries(shipped("repo/targets") / "bookworm.libraries.json")["sonames"]
    compared = set()
    for file in (bookworm.folder / "root/var/lib/dpkg/info").glob("*.symbols"):
        told = subprocess.run(["perl", "-e", _REFERENCE, file], check=True, capture_output=True, text=True).stdout
        lines: dict[str, list[list[str]]] = {}
        for line in told.splitlines():
            soname, *rest = line.split("\t")
            lines.setdefault(soname, []).append(rest)
        for soname, values in shipped_table.items():
            if soname not in lines or len(lines[soname]) == 1:
                continue  # Of another package, or emptied: its symbols are in another library.
            (_, smallest), *symbols = sorted(lines[soname])
            tables: dict[str, dict[str, str]] = {"versions": {}, "symbols": {}}
            for symbol, minimum in sorted(symbols, key=lambda pair: DebianVersion(pair[1])):
                name, _, version = symbol.partition("@")
                base = version == "Base"
                lowest = smallest if base else tables["versions"].setdefault(version, minimum)
                if DebianVersion(minimum) > DebianVersion(lowest):
                    tables["symbols"][name if base else symbol] = minimum
            told_minimum = {"minimum": smallest} if smallest != "0" else {}
            expected = told_minimum | {key: table for key, table in tables.items() if table}
            assert {key: value for key, value in values.items() if key not in ("package", "source")} == expected, soname
            compared.add(soname)
    assert {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1", "libcurl.so.4"} <= compared
