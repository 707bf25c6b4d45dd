from __future__ import annotations

import pytest

from debtool.model.errors import InputError
from debtool.model.names import debian_name, distribution_name, wheel_package


@pytest.mark.parametrize(
    ("name", "normalised"), [("Jinja2", "jinja2"), ("ruamel.yaml--_clib", "ruamel-yaml-clib"), ("x", "x"), ("7z", "7z")]
)
def test_distribution_names_are_normalised(name: str, normalised: str) -> None:
    assert distribution_name(name) == normalised


@pytest.mark.parametrize("name", ["", "-x", "x-", "a b", "../x", "x;y", "naïve", "x\n"])
def test_what_is_no_distribution_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"is no distribution name .*PEP 508"):
        distribution_name(name)


@pytest.mark.parametrize("name", ["", "x", "-xx", "+xx", "Xx", "x_y", "x y", "x/y", "xx\n", "ünder"])
def test_what_dpkg_refuses_as_a_package_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"is no package name .*Policy 5\.6\.1"):
        debian_name(name)


@pytest.mark.parametrize("name", ["xy", "0ad", "libstdc++6", "python3.11", "a-b.c+d"])
def test_package_names_are_taken_as_dpkg_takes_them(name: str) -> None:
    assert debian_name(name) == name


def test_the_package_of_a_wheel() -> None:
    assert wheel_package("acme", "Ruamel.Yaml_clib") == "acme-python3-ruamel-yaml-clib"
    with pytest.raises(InputError, match="is no package name"):
        wheel_package("Acme", "x")
