"""What a systemd unit would run, for places without systemd: a throwaway root."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WORDS = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """A service's command as systemd would start it.

    Attributes:
        command: The program and its arguments.
        environment: What the unit puts into its environment, beside what every service gets.
        user: The account that it runs as.
        folder: Its working directory.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    folder: str


def read_service(unit: str, read: Callable[[str], str], overrides: Mapping[str, str] | None = None) -> ServiceCommand:
    """Return what the text of a service unit says (systemd.service(5), systemd.exec(5)).

    Understood are ExecStart (with ``${NAME}`` as one word and ``$NAME`` as words), Environment, EnvironmentFile,
    UnsetEnvironment, User and WorkingDirectory; what confines a service is not.

    Args:
        unit: The unit's text.
        read: Returns the text of a file that the unit names; may raise FileNotFoundError.
        overrides: Environment variables that win over the unit's and its files'.

    Raises:
        InputError: It has no ExecStart, or a file that it needs is missing.
    """
    settings = _settings(unit)
    environment: dict[str, str] = {}
    for text in settings["Environment"]:
        environment |= _assignments(shlex.split(text))
    for name in settings["EnvironmentFile"]:
        try:
            lines = read(name.removeprefix("-")).splitlines()
        except FileNotFoundError:
            if name.startswith("-"):
                continue
            raise InputError(Issue(f"{name} is missing", field="EnvironmentFile", fix="install it")) from None
        environment |= {
            name: " ".join(shlex.split(value))
            for name, value in _assignments(line.strip() for line in lines).items()
            if name[0] not in "#;"
        }
    environment |= overrides or {}
    for text in settings["UnsetEnvironment"]:
        for name in text.split():
            environment.pop(name, None)
    if len(settings["ExecStart"]) != 1:
        raise InputError(Issue("a service has one ExecStart", field="ExecStart", fix="correct the unit"))
    return ServiceCommand(
        command=_expand(settings["ExecStart"][0], environment),
        environment=environment,
        user=(settings["User"] or ["root"])[-1],
        folder=(settings["WorkingDirectory"] or ["/"])[-1],
    )


def _settings(unit: str) -> dict[str, list[str]]:
    """Return the settings of the section [Service], in order; an empty value forgets those before it."""
    settings: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in unit.replace("\\\n", " ").splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text
        elif section == "[Service]" and "=" in text and text[0] not in "#;":
            name, _, value = text.partition("=")
            if value.strip():
                settings[name.strip()].append(value.strip())
            else:
                settings[name.strip()].clear()
    return settings


def _assignments(words: Iterable[str]) -> dict[str, str]:
    return {name: value for name, equals, value in (word.partition("=") for word in words) if name and equals}


def _expand(line: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    command: list[str] = []
    for word in shlex.split(line):
        words = _WORDS.fullmatch(word)
        if words is not None:
            command += environment.get(words[1], "").split()
        else:
            command.append(_VARIABLE.sub(lambda match: environment.get(match[1], "") if match[1] else "$", word))
    return tuple(command)
