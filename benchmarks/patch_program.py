"""What a patch package costs: its program beside a bare Python, and a dpkg run with it beside one without it.

    python benchmarks/patch_program.py program        the program: half a minute
    python benchmarks/patch_program.py watch          how soon after pip it patches: a minute
    sudo python benchmarks/patch_program.py dpkg      in throwaway roots of Debian 12: some minutes

Part *program*: the stack's Gradio patch on the real gradio_client 1.2.0 in a folder laid out as an environment, run as
its package runs it; before each real ``apply`` the file is as pip brought it. Every command is started in turn with
``python3 -c pass`` of the same interpreter, and its ratio is taken pair by pair.

Part *watch*: pip puts gradio_client 1.2.0 and 1.3.0 into an environment in turn, and ``watch`` patches each.

Part *dpkg*: two roots get the same two versions of a package with that file, one after the other; one of the roots has
the patch package, whose trigger patches each of them.

Medians; the machine's load (one minute, before and after) says how far to trust them. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from debtool.build.image import RootImage  # noqa: E402 -- the checkout first
from debtool.stack.patch_trial import write_program  # noqa: E402
from debtool.stack.patches import PatchPaths, patch_document  # noqa: E402
from debtool.wheel.fetch import FileCache  # noqa: E402
from debtool.wheel.offers import fetch_wheel  # noqa: E402
from tests.support.patch_packages import (  # noqa: E402
    PREFIX,
    SITE,
    Deb,
    distribution_files,
    gradio,
    patch_deb,
    patch_draft,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from debtool.build.root import Root

PYTHON = "/usr/bin/python3"
PATIENCE = 60
"""Seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["program", "watch", "dpkg"])
    parser.add_argument("--runs", type=int, help="of each command (program: 31, watch: 10, dpkg: 9)")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/debtool").expanduser())
    options = parser.parse_args()
    files = FileCache.below(options.cache)
    wheels = [fetch_wheel("gradio-client", Version(version), files) for version in ("1.2.0", "1.3.0")]
    with zipfile.ZipFile(wheels[0]) as archive:
        text = archive.read("gradio_client/utils.py")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="debtool-benchmark-") as folder:
        if options.part == "program":
            program(Path(folder), text, options.runs or 31)
        elif options.part == "watch":
            watch(Path(folder), wheels, options.runs or 10)
        else:
            dpkg(Path(folder), text, options.runs or 9, options.cache)
    print(f"\nLoad {load:.1f} before, {os.getloadavg()[0]:.1f} after.")


def laid_out(folder: Path) -> list[str]:
    """Lay the program out in a folder, with an environment below its root; return the command without its arguments."""
    paths = PatchPaths("bench-patch", "bench", "patch", "/srv/none/gradio_client/utils.py", "3")
    launcher = write_program({**patch_document(gradio(), paths), "diverted": None}, folder / "share")
    settings = folder / "root/etc/bench/patch.d"
    settings.mkdir(parents=True)
    (settings / "here.conf").write_text("root = /srv/environment\n")
    return [PYTHON, "-IS", str(launcher), "--root", str(folder / "root")]


def program(folder: Path, text: bytes, runs: int) -> None:
    command = laid_out(folder)
    file = lay_out(folder / "root", text)

    def pristine() -> None:
        file.write_bytes(text)

    def settled() -> None:
        """Patched, known to be so, and longer ago than a file system's clock ticks."""
        for _ in range(2):
            subprocess.run([*command, "apply"], check=True, capture_output=True)
            time.sleep(0.05)

    print(f"`{PYTHON}` is {subprocess.check_output([PYTHON, '--version'], text=True).strip()}.\n")
    print("| command | ms | `python3 -c pass`, ms | times that |\n|---|---|---|---|")
    for label, arguments, before in (
        ("`apply`, nothing has changed", ["apply"], None),
        ("`list`", ["list"], None),
        ("`status`", ["status"], None),
        ("`apply` that patches", ["apply"], pristine),
    ):
        settled()
        pairs = [(timed([PYTHON, "-c", "pass"]), timed([*command, *arguments], before)) for _ in range(runs)]
        bare, ours = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"| {label} | {ours:.1f} | {bare:.1f} | {ratio:.1f} |")


def lay_out(root: Path, text: bytes) -> Path:
    """Make an environment with the one module and its finished metadata below a root; return the module."""
    files = {"pyvenv.cfg": b"", "lib/python3.12/site-packages/gradio_client/utils.py": text}
    info = "lib/python3.12/site-packages/gradio_client-1.2.0.dist-info"
    files |= {f"{info}/INSTALLER": b"pip\n", f"{info}/RECORD": b""}
    for name, content in files.items():
        file = root / "srv/environment" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root / "srv/environment/lib/python3.12/site-packages/gradio_client/utils.py"


def timed(command: Sequence[str], before: Callable[[], None] | None = None) -> float:
    """Return the seconds of a command from its start to its end."""
    if before is not None:
        before()
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def watch(folder: Path, wheels: Sequence[Path], runs: int) -> None:
    command = laid_out(folder)
    environment = folder / "root/srv/environment"
    venv.create(environment, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "--quiet", "install", "--no-deps"]

    def install(wheel: Path) -> None:
        subprocess.run([*pip, "--no-index", str(wheel)], check=True)

    install(wheels[0])
    [file] = environment.glob("lib/python3*/site-packages/gradio_client/utils.py")
    seconds = []
    with subprocess.Popen([*command, "watch"], stdout=subprocess.DEVNULL) as watching:
        try:
            wait_until_patched(file)
            for number in range(1, runs + 1):
                install(wheels[number % 2])
                seconds.append(wait_until_patched(file))
        finally:
            watching.terminate()
    print("| from pip's end until it is patched | s |\n|---|---|")
    print(f"| median | {statistics.median(seconds):.2f} |\n| longest of {runs} | {max(seconds):.2f} |")


def wait_until_patched(file: Path) -> float:
    """Return the seconds until a file has the program's mark."""
    began = time.perf_counter()
    while b"bench-patch" not in file.read_bytes():
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError(f"{file} was not patched")
        time.sleep(0.005)
    return time.perf_counter() - began


def dpkg(folder: Path, text: bytes, runs: int, cache: Path) -> None:
    image = RootImage.ensure("bookworm", cache / "roots", packages=("python3-minimal", "python3"))
    debs = folder / "debs"
    debs.mkdir()
    Deb("acme-runtime", "1", {f"{PREFIX}/venv/pyvenv.cfg": b""}).build(debs)
    for version, upstream in (("1", "1.2.0"), ("2", "1.3.0")):
        files = {"gradio_client/utils.py": text, "gradio_client/version": version.encode()}
        installed = distribution_files(SITE, "gradio_client", upstream, files)
        Deb("acme-python3-gradio-client", version, installed).build(debs)
    patch = patch_deb(patch_draft(gradio(), "gradio-patch"), "1", debs).name
    clients = [f"/debs/acme-python3-gradio-client_{version}.deb" for version in "12"]
    with image.instance() as without, image.instance() as having:
        for root, more in ((without, []), (having, [f"/debs/{patch}"])):
            root.copy_in(debs, "/debs")
            root.run(["dpkg", "--install", "/debs/acme-runtime_1.deb", clients[0], *more])
        pairs = [(installing(without, clients[n % 2]), installing(having, clients[n % 2])) for n in range(1, runs + 1)]
        assert b"acme-gradio-patch" in having.path(f"{SITE}/gradio_client/utils.py").read_bytes()
    plain, patched = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(b - a for a, b in pairs)
    print("| `dpkg --install` of one package | s |\n|---|---|")
    print(f"| without the patch package | {plain:.2f} |\n| with it, which patches | {patched:.2f} |")
    print(f"| added | {added:.2f} |")


def installing(root: Root, deb: str) -> float:
    """Return the seconds of installing one package."""
    began = time.perf_counter()
    root.run(["dpkg", "--install", deb])
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
