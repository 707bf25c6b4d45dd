"""Patching at import: for a tree that is read-only or somebody else's. Off unless ``hook/`` is on PYTHONPATH.

The module's text is patched in memory and compiled anew; nothing is written, and whatever goes wrong, the module is
imported as it is.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

    from .recipe import Recipe


class Finder:
    """Finds the one module of a recipe, and has its text patched. The recipe is read when that module is imported."""

    def __init__(self, document: str, module: str) -> None:
        self.document, self.module = document, module

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the module's own spec with a loader that patches; None leaves it to the finders after this one."""
        if name != self.module:
            return None
        try:
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
                spec.loader = Loader(spec.loader.name, spec.loader.path, self.document)
        except Exception:  # noqa: BLE001 -- an import never fails for the hook's sake
            return None
        return spec


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles the patched text; no bytecode is read or written."""

    def __init__(self, name: str, path: str, document: str) -> None:
        super().__init__(name, path)
        self.document = document

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of the patched text; of the module as it is where that cannot or need not be patched."""
        try:
            from .recipe import load  # noqa: PLC0415 -- Python starts faster without it

            source = self.get_data(self.path)
            patched = _patched(load(self.document), source, self.path)
            if patched != source:
                return compile(patched, self.path, "exec", dont_inherit=True)
        except Exception as error:  # noqa: BLE001 -- an import never fails for the hook's sake
            if os.environ.get("PYTHONVERBOSE"):
                sys.stderr.write(f"{self.path}: not patched at import: {error}\n")
        return super().get_code(fullname)


def _patched(recipe: Recipe, source: bytes, path: str) -> bytes:
    from . import text, versions  # noqa: PLC0415 -- Python starts faster without them
    from .files import Folder  # noqa: PLC0415

    site = path.removesuffix(f"/{recipe.file}")
    with Folder.at(site) as folder:
        version = versions.installed(folder, recipe.distribution, recipe.file).version
    if version is not None and not versions.affected(recipe, version):
        return source
    return text.patched_text(source, recipe, recipe.ships)


def install(document: str) -> None:
    """Put the finder for the module of a patch.json before all others. Raises OSError, ValueError, KeyError."""
    import json  # noqa: PLC0415 -- only where the hook is used

    with open(document, encoding="utf-8") as stream:  # noqa: PTH123 -- pathlib costs half a start of Python
        sys.meta_path.insert(0, Finder(document, json.load(stream)["import"]))
