from __future__ import annotations

import pytest

from debtool.model.errors import InputError
from debtool.stack.unit import ServiceCommand, read_service

UNIT = """\
[Unit]
Description=A painter
ExecStart=/not/this

[Service]
# ExecStart=/nor/this
User=painter
Environment=HOME=/var/lib/painter
Environment="TITLE=two words" PORT=7860
Environment=OPENBLAS_CORETYPE=Haswell
EnvironmentFile=-/etc/painter.conf
EnvironmentFile=-/etc/absent.conf
UnsetEnvironment=OPENBLAS_CORETYPE ATEN_CPU_CAPABILITY
WorkingDirectory=/var/lib/painter
ExecStart=/usr/bin/python3 -u launch.py \\
    --title ${TITLE} --cost $$5 --port ${PORT} $ARGUMENTS

[Install]
WantedBy=multi-user.target
"""

FILES = {"/etc/painter.conf": '# PORT=1\n\nPORT=7000\nARGUMENTS=--api --listen\nNAME="a b"\n'}


def read(name: str) -> str:
    if name not in FILES:
        raise FileNotFoundError(name)
    return FILES[name]


def test_reads_what_systemd_would_run() -> None:
    assert read_service(UNIT, read) == ServiceCommand(
        command=(
            *("/usr/bin/python3", "-u", "launch.py", "--title", "two words", "--cost", "$5"),
            *("--port", "7000", "--api", "--listen"),
        ),
        environment={
            "HOME": "/var/lib/painter",
            "TITLE": "two words",
            "PORT": "7000",
            "ARGUMENTS": "--api --listen",
            "NAME": "a b",
        },
        user="painter",
        folder="/var/lib/painter",
    )


def test_overrides_win() -> None:
    assert "7001" in read_service(UNIT, read, {"PORT": "7001"}).command


def test_an_empty_setting_forgets_those_before_it() -> None:
    unit = "[Service]\nExecStart=/bin/one\nExecStart=\nExecStart=/bin/two\n"
    assert read_service(unit, read) == ServiceCommand(("/bin/two",), {}, "root", "/")


def test_without_a_command_it_is_an_error() -> None:
    with pytest.raises(InputError, match="ExecStart"):
        read_service("[Service]\nUser=x\n", read)


def test_a_file_that_must_be_there_is_an_error_when_missing() -> None:
    with pytest.raises(InputError, match=r"/etc/absent\.conf is missing"):
        read_service("[Service]\nEnvironmentFile=/etc/absent.conf\nExecStart=/bin/true\n", read)
