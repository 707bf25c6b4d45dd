from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.model.errors import InputError
from debtool.model.target import Target, parse_target
from debtool.wheel.payload import import_names
from debtool.wheel.source import CheckedWheel, open_wheel

if TYPE_CHECKING:
    from tests.wheel.conftest import HandMadeWheels


@pytest.fixture(scope="session")
def target() -> Target:
    file = Path(__file__).parents[2] / "repo/targets/bookworm.toml"
    return parse_target(file.read_text(), file)


def test_a_good_wheel_says_what_it_is(handmade: HandMadeWheels) -> None:
    wheel = handmade.open()
    assert (wheel.name, str(wheel.version), wheel.pure) == ("demo-pkg", "1.0", True)
    assert wheel.dist_info_files() == ["METADATA", "WHEEL", "licenses/LICENSE", "RECORD"]
    assert wheel.sizes["demo/data.bin"] == 102_400
    assert import_names(wheel) == ["demo"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"{info}/METADATA": None}, "METADATA is missing"),
        ({"{info}/WHEEL": None}, "WHEEL is missing"),
        ({"{info}/WHEEL": b"Wheel-Version: 2.0\n"}, "Wheel-Version '2.0'"),
        ({"{info}/METADATA": b"Name: other\nVersion: 1.0\n"}, "Name 'other'"),
        ({"{info}/METADATA": b"Name: demo-pkg\nVersion: 2.0\n"}, "version '2.0'"),
        ({"{info}/METADATA": b"Name: demo-pkg\nVersion: one\n"}, "version 'one'"),
        ({"other-1.dist-info/METADATA": b""}, "2 such directories"),
        ({"other-1.0.data/purelib/x.py": b""}, "is not demo_pkg-1.0.data"),
    ],
)
def test_contradictions_are_refused(handmade: HandMadeWheels, files: dict[str, bytes | None], problem: str) -> None:
    named = {name.format(info=handmade.info): data for name, data in files.items()}
    with pytest.raises(InputError, match=problem):
        handmade.open(named)


@pytest.mark.parametrize(
    "name", ["demo_pkg.whl", "demo_pkg-1.0.whl", "other-1.0-py3-none-any.whl", "demo_pkg-1.1-py3-none-any.whl", "x.zip"]
)
def test_file_names_that_lie_are_refused(handmade: HandMadeWheels, name: str) -> None:
    with pytest.raises(InputError) as caught:
        handmade.open(name=name)
    assert caught.value.issues[0].file == handmade.folder / name


def test_a_spelling_of_name_and_version_does_not_matter(handmade: HandMadeWheels) -> None:
    assert handmade.open(name="Demo.Pkg-1.0.0-1-py3-none-any.whl").name == "demo-pkg"


@pytest.mark.parametrize(
    ("tag", "runs"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("cp311-cp311-manylinux_2_28_x86_64", True),
        ("cp38-abi3-manylinux2014_x86_64", True),
        ("cp311-cp311-linux_x86_64", True),
        ("cp312-cp312-manylinux_2_28_x86_64", False),
        ("cp312-abi3-manylinux2014_x86_64", False),
        ("cp311-cp311-manylinux_2_40_x86_64", False),
        ("cp311-cp311-manylinux_2_28_aarch64", False),
        ("cp311-cp311-musllinux_1_2_x86_64", False),
        ("cp311-cp311-win_amd64", False),
        ("py2-none-any", False),
    ],
)
def test_a_wheel_for_another_system_is_refused(handmade: HandMadeWheels, target: Target, tag: str, runs: bool) -> None:  # noqa: FBT001
    wheel = handmade.open(name=f"demo_pkg-1.0-{tag}.whl")
    if runs:
        wheel.check_target(target)
    else:
        with pytest.raises(InputError, match="the wheel is for") as caught:
            wheel.check_target(target)
        assert target.python in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "runs"), [(">=3.11,<3.12", True), (">=3.12", False), ("nonsense", False), ("", True)]
)
def test_requires_python_is_kept(handmade: HandMadeWheels, target: Target, wanted: str, runs: bool) -> None:  # noqa: FBT001
    metadata = handmade.metadata.replace(">=3.8", wanted)
    wheel = handmade.open({f"{handmade.info}/METADATA": metadata.encode()})
    if runs:
        wheel.check_target(target)
    else:
        with pytest.raises(InputError, match="Requires"):
            wheel.check_target(target)


def test_what_installers_make_themselves_is_not_taken_from_a_wheel(handmade: HandMadeWheels) -> None:
    wheel = handmade.open(
        {
            "demo/__pycache__/__init__.cpython-311.pyc": b"evil",
            f"{handmade.info}/INSTALLER": b"evil",
            f"{handmade.info}/REQUESTED": b"",
            f"{handmade.info}/direct_url.json": b"{}",
        }
    )
    names = [record[0] for record, _, _ in CheckedWheel(wheel).get_contents()]
    assert names == list(handmade.files)


def test_excluded_files_are_not_offered(handmade: HandMadeWheels) -> None:
    names = [record[0] for record, _, _ in CheckedWheel(handmade.open(), ["demo/*.bin"]).get_contents()]
    assert "demo/data.bin" not in names
    assert "demo/__init__.py" in names


def test_a_changed_metadata_is_found_when_the_wheel_is_opened(handmade: HandMadeWheels) -> None:
    lines = [handmade.record_line(name, data) for name, data in handmade.files.items()]
    other = handmade.files[f"{handmade.info}/METADATA"] + b"Requires-Dist: evil\n"
    with pytest.raises(InputError, match="sha256"):
        handmade.open({f"{handmade.info}/METADATA": other}, record="".join(lines) + f"{handmade.info}/RECORD,,\n")


def test_an_open_wheel_is_closed_again(handmade: HandMadeWheels) -> None:
    with open_wheel(handmade.write()) as wheel:
        pass
    with pytest.raises(ValueError, match="closed"):
        wheel.open("demo/data.bin").read()
