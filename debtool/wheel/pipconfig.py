"""pip's own configuration: where this machine gets Python packages from."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from debtool.model.errors import Issue, OutsideError

# What belongs to installing into an environment would change what is downloaded; the index settings stay.
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")


@dataclass(frozen=True, slots=True)
class PipIndexes:
    """The indexes that pip is configured with.

    Attributes:
        index_url: The main index; None where pip's default holds.
        extra_index_urls: Further indexes.
        find_links: Folders and pages with links to files.
        no_index: Whether only ``find_links`` count.
        cert: A file of certificates to trust instead of the usual ones.
        proxy: The URL of a proxy for all of them.
    """

    index_url: str | None
    extra_index_urls: tuple[str, ...]
    find_links: tuple[str, ...]
    no_index: bool = False
    cert: str | None = None
    proxy: str | None = None

    def uv_options(self) -> list[str]:
        """Return uv's options for the same indexes with pip's rule: the best version of all of them."""
        options = ["--index-strategy", "unsafe-best-match"]
        if self.no_index:
            options.append("--no-index")
        else:
            options += ["--default-index", self.index_url] if self.index_url else []
            for url in self.extra_index_urls:
                options += ["--extra-index-url", url]
        for place in self.find_links:
            options += ["--find-links", place]
        return options

    def uv_environment(self) -> dict[str, str]:
        """Return the variables that let uv reach the indexes as pip does."""
        found = {"SSL_CERT_FILE": self.cert} if self.cert else {}
        return found | (dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), self.proxy) if self.proxy else {})

    def auth_for(self, url: str) -> tuple[str, str] | None:
        """Return the user name and password for a file of an index: what the URL of one on the same host has, if any.

        >>> PipIndexes("https://me:s%40e@pypi.example/simple", (), ()).auth_for("https://pypi.example/files/a-1.tar.gz")
        ('me', 's@e')
        """
        asked = urlsplit(url)
        for place in (self.index_url or "", *self.extra_index_urls, *self.find_links):
            known = urlsplit(place)
            who, at, host = known.netloc.rpartition("@")
            if at and (known.scheme, host) == (asked.scheme, asked.netloc):
                user, _, password = who.partition(":")
                return unquote(user), unquote(password)
        return None


def pip_indexes() -> PipIndexes:
    """Return what ``pip config list`` says; later levels replace earlier ones as in pip.

    Raises:
        OutsideError: pip does not run.
    """
    result = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False)
    if result.returncode:
        problem = f"pip does not run: {result.stderr.strip() or result.stdout.strip()}"
        raise OutsideError(Issue(problem, fix="install pip beside debtool: `python3 -m ensurepip` or python3-pip"))
    return parse_pip_config(result.stdout)


def parse_pip_config(text: str) -> PipIndexes:
    """Return the indexes in the output of ``pip config list``.

    >>> parse_pip_config("global.find-links='/srv/a /srv/b'").find_links
    ('/srv/a', '/srv/b')
    """
    values: dict[str, str] = {}
    # From the weakest to the strongest (pip's documentation, "Configuration": precedence).
    for level in ("global", "download", ":env:"):
        for line in text.splitlines():
            key, separator, value = line.partition("=")
            if separator and key.startswith(f"{level}."):
                values[key.removeprefix(f"{level}.")] = str(ast.literal_eval(value))
    return PipIndexes(
        values.get("index-url"),
        tuple(values.get("extra-index-url", "").split()),
        tuple(values.get("find-links", "").split()),
        no_index=values.get("no-index", "").lower() in {"1", "true", "yes", "on"},
        cert=values.get("cert"),
        proxy=values.get("proxy"),
    )
