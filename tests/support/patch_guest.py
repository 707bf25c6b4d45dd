"""What a booted machine does for tests/integration/test_patch_booted.py: it runs there, as root, alone.

Each result is a line ``proof: NAME: VALUE`` on its standard output. The machine has the patch package installed, a
user ``ana``, wheels of gradio_client in /wheels, pip configured to take those, and uv.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "acme-gradio-patch"
PATH_UNIT, *SERVICES = f"{PACKAGE}.path", f"{PACKAGE}.service", f"{PACKAGE}-again.service"
ANA = pwd.getpwnam("ana")
HOME = Path(ANA.pw_dir)
ENVIRONMENT = {
    "HOME": ANA.pw_dir,
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin",
    "XDG_RUNTIME_DIR": f"/run/user/{ANA.pw_uid}",
}
SITE = "lib/python3.11/site-packages"
PATIENCE = 120.0
"""Seconds: a test machine may be busy with something else, and an emulated one takes 20 times as long."""


def tell(name: str, value: object) -> None:
    print(f"proof: {name}: {value}", flush=True)  # noqa: T201


def run(*command: str | Path, check: bool = True) -> str:
    """Run as root; return the output."""
    return _run([str(word) for word in command], check, {})


def as_ana(*command: str | Path, check: bool = True) -> str:
    """Run as the user, with her manager at hand; return the output."""
    who: dict[str, Any] = {"user": ANA.pw_uid, "group": ANA.pw_gid, "extra_groups": [], "env": ENVIRONMENT, "cwd": HOME}
    return _run([str(word) for word in command], check, who)


def _run(command: list[str], check: bool, who: dict[str, Any]) -> str:  # noqa: FBT001
    done = subprocess.run(command, capture_output=True, text=True, check=False, **who)
    if check and done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return str(done.stdout).strip()


def user_units(*arguments: str) -> str:
    return as_ana("systemctl", "--user", *arguments, check=False)


def system_units(*arguments: str) -> str:
    return run("systemctl", *arguments, check=False)


def wait_for(what: str, condition: Callable[[], bool], interval: float = 0.5) -> float:
    """Wait, and return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > PATIENCE:
            raise SystemExit(f"{what}: not in {PATIENCE:g} s")
        time.sleep(interval)
    return time.monotonic() - began


def wait_for_rest(units: Callable[..., str]) -> None:
    """Wait until both services have ended: whatever had changed was looked at."""

    def resting() -> bool:
        return set(units("is-active", *SERVICES).split()) == {"inactive"} and not units("list-jobs", "--no-legend")

    wait_for("rest", resting)


def patched(file: Path) -> bool:
    try:
        return PACKAGE in file.read_text()
    except FileNotFoundError:
        return False


def tell_patched(name: str, site: Path) -> None:
    """Wait until what was just installed in ``site`` is patched; tell its version and owner, and what time it took."""
    file = site / "gradio_client/utils.py"
    waited = wait_for(name, lambda: patched(file), interval=0.05)
    [version] = [path.name.removeprefix("gradio_client-") for path in site.glob("gradio_client-*.dist-info")]
    tell(name, f"{version.removesuffix('.dist-info')} of {file.owner()} in {file}")
    tell(f"{name}, seconds", f"{waited:.1f}")


def tell_failed(name: str) -> None:
    """Tell which units of the system and of the user have failed."""
    tell(name, "".join(units("--failed", "--no-legend") for units in (system_units, user_units)) or "none")


def uv_install(environment: Path, version: str) -> None:
    options = ["--quiet", "--offline", "--no-index", "--find-links=/wheels", "--no-deps", "--reinstall"]
    as_ana("uv", "pip", "install", *options, f"--python={environment}/bin/python", f"gradio_client=={version}")


def records(state: Path) -> list[str]:
    """Return what the program has recorded there, and as which user: nobody else could write the file."""
    files = state.glob("records/*.json")
    return sorted(f"{json.loads(file.read_text())['path']} by {file.owner()}" for file in files)


def installers() -> None:
    """What pip and uv bring is patched, wherever they bring it."""
    as_ana("pip", "install", "--quiet", "--user", "gradio_client==1.2.0")
    own = HOME / ".local" / SITE
    tell_patched("pip install --user", own)
    as_ana("pip", "install", "--quiet", "--user", "--upgrade", "gradio_client")
    tell_patched("pip install --upgrade", own)
    for name, environment in (("a new venv", HOME / "v"), ("a tool of pipx", HOME / ".local/share/pipx/venvs/x")):
        as_ana("python3", "-m", "venv", "--without-pip", environment)
        uv_install(environment, "1.2.0")
        tell_patched(name, environment / SITE)
    run("pip", "install", "--quiet", "gradio_client==1.2.0")
    tell_patched("root's pip", Path("/usr/local/lib/python3.11/dist-packages"))


def late_change() -> None:
    """What changes while her unit is ending, when its path unit watches nothing, is patched too."""
    wait_for_rest(user_units)
    hold = Path(ENVIRONMENT["XDG_RUNTIME_DIR"], "hold")
    drop_in = Path(f"/etc/systemd/user/{SERVICES[0]}.d/hold.conf")
    drop_in.parent.mkdir()
    drop_in.write_text(
        "[Service]\nExecStartPost=/bin/sh -c 'touch %t/held; while [ -e %t/hold ]; do sleep 0.1; done'\n"
    )
    user_units("daemon-reload")
    hold.touch()
    as_ana("touch", HOME / "v" / SITE / "changed")
    wait_for("the unit's end", hold.with_name("held").exists)
    uv_install(HOME / "v", "1.3.0")
    tell("her unit runs as", hold.with_name("held").owner())
    tell("a late change, before", "patched" if patched(HOME / "v" / SITE / "gradio_client/utils.py") else "unpatched")
    hold.unlink()
    tell_patched("a late change", HOME / "v" / SITE)
    drop_in.unlink()
    drop_in.parent.rmdir()
    user_units("daemon-reload")


def afterwards() -> None:
    """Who did it, what is left in whose folders, and what does not happen."""
    wait_for_rest(user_units)
    wait_for_rest(system_units)
    for state in (HOME / ".local/state/acme/gradio-patch", Path("/var/lib/acme/gradio-patch")):
        for line in records(state):
            tell("patched", line)
    told = json.loads(
        as_ana(PACKAGE, "status", "--json", str(HOME / ".local" / SITE / "gradio_client/utils.py"), check=False)
    )
    for copy in told["copies"]:
        tell("status", f"{copy['state']} by {copy['by']}, verified: {copy['verified']}")
    tell("root's files in her home", run("find", HOME, "-user", "root") or "none")
    ask = "import sys; print([p for p in sys.path if 'acme' in p], [m for m in sys.modules if 'patcher' in m])"
    tell("import hook", as_ana("python3", "-c", ask))
    tell_failed("failed units")


def removal() -> None:
    """Without the package nothing is patched any more, and nothing waits to."""
    run("dpkg", "--purge", PACKAGE)
    site = Path("/usr/local/lib/python3.11/dist-packages/gradio_client/utils.py")
    tell("root's copy after removal", "patched" if patched(site) else "pristine")
    pattern = f"{PACKAGE}*"
    for name, units in (("system", system_units), ("user", user_units)):
        asked = [units("--no-legend", "--all", what, pattern) for what in ("list-units", "list-unit-files")]
        tell(f"{name} units after removal", "".join(asked) or "none")
    uv_install(HOME / "v", "1.2.0")
    time.sleep(5)
    tell("a new copy after removal", "patched" if patched(HOME / "v" / SITE / "gradio_client/utils.py") else "pristine")
    tell_failed("failed units after removal")


def main() -> None:
    began = time.monotonic()
    tell("CPU", run("grep", "--max-count=1", "--only-matching", "Westmere", "/proc/cpuinfo"))
    wait_for("the system", lambda: system_units("is-system-running") != "starting")
    tell("system", f"{system_units('is-system-running')}, {system_units('is-active', PATH_UNIT)}")
    run("loginctl", "enable-linger", "ana")
    wait_for("her path unit", lambda: user_units("is-active", PATH_UNIT) == "active")
    wait_for_rest(user_units)
    installers()
    late_change()
    afterwards()
    removal()
    tell("seconds in all", f"{time.monotonic() - began:.0f}")


if __name__ == "__main__":
    os.umask(0o022)
    main()
