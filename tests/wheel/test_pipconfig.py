from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from debtool.model.errors import OutsideError
from debtool.wheel.pipconfig import PipIndexes, parse_pip_config, pip_indexes

if TYPE_CHECKING:
    from tests.support.wheels import TinyWheels


def test_stronger_levels_replace_weaker_ones() -> None:
    text = r"""install.index-url='https://install.example/simple'
:env:.find-links='/srv/env'
global.find-links='/srv/global /srv/more'
global.extra-index-url='https://a.example/simple\nhttps://b.example/simple'
download.index-url='https://download.example/simple'
global.index-url='https://global.example/simple'
"""
    assert parse_pip_config(text) == PipIndexes(
        "https://download.example/simple",
        ("https://a.example/simple", "https://b.example/simple"),
        ("/srv/env",),
    )


def test_uv_gets_the_same_places() -> None:
    options = PipIndexes("https://i.example/", ("https://e.example/",), ("/srv/wheels",)).uv_options()
    assert options[2:] == [
        *("--default-index", "https://i.example/"),
        *("--extra-index-url", "https://e.example/"),
        *("--find-links", "/srv/wheels"),
    ]
    only_links = PipIndexes("https://i.example/", (), ("/srv/wheels",), no_index=True).uv_options()
    assert only_links[2:] == ["--no-index", "--find-links", "/srv/wheels"]


def test_certificates_and_a_proxy() -> None:
    found = parse_pip_config("global.cert='/srv/ca.pem'\nglobal.proxy='http://p.example:3128'\n")
    assert found.uv_environment() == {
        "SSL_CERT_FILE": "/srv/ca.pem",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://p.example:3128"),
    }
    assert parse_pip_config("").uv_environment() == {}


def test_pips_own_answer_is_read(tiny_index: TinyWheels) -> None:
    found = replace(pip_indexes(), cert=None, proxy=None)  # the machine's own
    assert found == PipIndexes(None, (), (str(tiny_index.folder),), no_index=True)


def test_pip_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "No module named pip")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(OutsideError, match="No module named pip"):
        pip_indexes()
