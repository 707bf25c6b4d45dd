"""Files from the web: fetched as the server has them, and held against the hash that is expected."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError

from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT = 60
# A hash is that of the file itself: servers may neither compress it on the way nor call an archive's own compression
# one of the way, which would then be undone. The second is why the raw stream is read.
_AS_IT_IS = {"Accept-Encoding": "identity"}


def download(
    url: str,
    file: Path,
    *,
    fix: str,
    auth: tuple[str, str] | None = None,
    cert: str | None = None,
    proxy: str | None = None,
) -> None:
    """Write what is at ``url`` to ``file``.

    Args:
        url: An http or https address.
        file: Where to.
        fix: What to do when it fails.
        auth: User name and password; by default what ``~/.netrc`` has for the host.
        cert: A file of certificates to trust instead of the usual ones.
        proxy: The URL of a proxy; by default what the environment says.

    Raises:
        OutsideError: It cannot be had, or not whole.
    """
    try:
        answer = requests.get(
            url,
            stream=True,
            timeout=_TIMEOUT,
            headers=_AS_IT_IS,
            auth=auth,
            verify=cert or True,
            proxies={"http": proxy, "https": proxy} if proxy else None,
        )
        with answer, file.open("wb") as written:
            answer.raise_for_status()
            shutil.copyfileobj(answer.raw, written)
    except (requests.RequestException, HTTPError) as error:
        raise OutsideError(Issue(f"{url} cannot be fetched: {error}", fix=fix)) from None


def check_hash(file: Path, expected: str, whose: str, *, fix: str, field: str | None = None) -> None:
    """Raise ``InputError`` unless the SHA-256 of ``file`` is the one that ``whose`` words expect.

    ``fix`` and ``field`` are the issue's.
    """
    found = sha256_of(file)
    if found != expected:
        raise InputError(Issue(f"{file.name} has the SHA-256 {found}, {whose} says {expected}", field=field, fix=fix))
