"""The apt archive: pool, index, suites, Release and signatures.

Hands out `Archive` with its values, and `Server` for a bench; how it keeps its state is its own business.
"""

from debtool.archive.archive import Archive
from debtool.archive.serve import Server
from debtool.archive.values import ArchiveConfig, Generation, Key, Publication, PublishedPackage

__all__ = ["Archive", "ArchiveConfig", "Generation", "Key", "Publication", "PublishedPackage", "Server"]
