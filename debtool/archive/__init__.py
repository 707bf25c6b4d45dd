"""The apt archive: pool, index, suites, Release and signatures.

Hands out `Archive` with its values, and in `serve` a web server for a bench; how it keeps its state is its business.
"""

from debtool.archive.archive import Archive
from debtool.archive.values import ArchiveConfig, Generation, Key, Publication, PublishedPackage

__all__ = ["Archive", "ArchiveConfig", "Generation", "Key", "Publication", "PublishedPackage"]
