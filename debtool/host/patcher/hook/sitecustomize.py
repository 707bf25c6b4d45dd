"""Used only if this folder is on PYTHONPATH: patches one module at import, then loads the next sitecustomize.

``hook path`` of the program prints this folder. Python imports the first sitecustomize alone (module ``site``), so the
machine's own one is loaded from here. Nothing in here makes an interpreter or an import fail.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys


def _install() -> None:
    engine = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH120, PTH100 -- starts fast
    document = os.path.join(os.path.dirname(engine), "patch.json")  # noqa: PTH118, PTH120
    # Under a name of its own: several patches may be on PYTHONPATH, each with its own engine.
    name = "_patcher_" + "".join(sign if sign.isalnum() else "_" for sign in engine)
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(engine, "__init__.py"), submodule_search_locations=[engine]  # noqa: PTH118
    )  # fmt: skip
    if spec is None or spec.loader is None:
        return
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    importlib.import_module(f"{name}.importing").install(document)


def _load_next() -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH120, PTH100
    rest = sys.path[[os.path.abspath(folder) for folder in sys.path].index(here) + 1 :]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


try:
    _install()
except Exception as error:  # noqa: BLE001 -- an interpreter never fails for the hook's sake
    sys.stderr.write(f"{__file__}: no module is patched at import: {error}\n")
_load_next()
