"""A whole Debian system, booted: its own kernel and systemd in qemu, on an emulated CPU, where there is no KVM.

What a throwaway root shows of path units and user managers is nothing: no systemd runs in it. Here one does.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.build.root import describe_status
from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from debtool.build.root import Root

PACKAGES = ("dbus", "dbus-user-session", "kmod", "libpam-systemd", "linux-image-cloud-amd64", "systemd-sysv", "udev")
"""What an image has beside its own packages, to be booted."""

TOOLS = {"mke2fs": "e2fsprogs", "qemu-system-x86_64": "qemu-system-x86"}
"""The programs that this needs, and the packages that have them."""

_SCRIPT = "/usr/local/sbin/proof"
_MARK = "proof: "
_UNIT = f"""\
[Unit]
Description=What this machine was booted for
After=multi-user.target
[Service]
Type=exec
ExecStart={_SCRIPT}
ExecStopPost=/usr/bin/systemctl --no-block --force poweroff
StandardOutput=file:/dev/ttyS0
StandardError=inherit
[Install]
WantedBy=multi-user.target
"""
# A login prompt would come between the lines of the script. The others take time, and nothing here needs them.
_MASKED = ("e2scrub_reap.service", "serial-getty@ttyS0.service", "systemd-udev-trigger.service")
_KERNEL = (
    # Both are built into Debian's cloud kernel, so that no initrd is needed.
    "root=/dev/nvme0n1 rootfstype=ext4 rw",
    "console=ttyS0 quiet systemd.show_status=0 panic=-1",
    # They cost an emulated CPU much, and protect nobody here.
    "mitigations=off audit=0",
    *(f"systemd.mask={unit}" for unit in _MASKED),
)


@dataclass(frozen=True, slots=True)
class Boot:
    """A boot from power on to power off.

    Attributes:
        console: All that came over the serial console.
    """

    console: str

    @property
    def told(self) -> list[str]:
        """The lines of the script that begin with ``proof: ``, without that."""
        lines = (line.strip() for line in self.console.splitlines())
        return [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]


def boot(root: Root, script: str, folder: Path, *, cpu: str = "Westmere", seconds: float = 600) -> Boot:
    """Boot a copy of ``root``, run ``script`` on it as root when it is up, and return what was seen.

    Args:
        root: A root with `PACKAGES`; the script and its unit are written into it.
        script: A program with its ``#!`` line; lines of its output that begin with ``proof: `` are the result.
        folder: Where the disk is made, and removed again, and the console's text is kept.
        cpu: The CPU that qemu emulates.
        seconds: After which the machine is switched off.

    Raises:
        OutsideError: A tool is missing, the disk cannot be made, or the machine did not switch itself off in time.
    """
    for program, package in TOOLS.items():
        if shutil.which(program) is None:
            raise OutsideError(Issue(f"{program} is missing", fix=f"apt-get install {package}"))
    root.path(_SCRIPT).write_text(script)
    root.path(_SCRIPT).chmod(0o755)
    root.path("/etc/systemd/system/proof.service").write_text(_UNIT)
    root.run(["systemctl", "enable", "proof.service"])
    # An image forbids services to start; a machine of one's own does not.
    root.path("/usr/sbin/policy-rc.d").unlink()
    disk, console = folder / "disk", folder / "console"
    kernel = shutil.copyfile(root.path("/vmlinuz"), folder / "vmlinuz")
    command = ["qemu-system-x86_64", "-cpu", cpu, "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1536"]
    command += ["-kernel", str(kernel), "-append", " ".join(_KERNEL), "-no-reboot", "-nodefaults"]
    command += ["-display", "none", "-serial", f"file:{console}"]
    command += ["-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe", "-device", "nvme,serial=1,drive=disk"]
    try:
        _make_disk(root, disk)
        _run(command, seconds, console)
    finally:
        disk.unlink(missing_ok=True)
    return Boot(console.read_text(errors="replace"))


def _make_disk(root: Root, disk: Path) -> None:
    """Write the files of ``root`` into a file system, without what is mounted there."""
    root.run(["mount", "--bind", "/", "/mnt"])
    try:
        _run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root.path("/mnt")), str(disk), "4G"], 120)
    finally:
        root.run(["umount", "/mnt"])


def _run(command: Sequence[str], seconds: float, console: Path | None = None) -> None:
    """Run a tool; tell what it, and the machine on its console, said last where it fails. Raises OutsideError."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
        if done.returncode == 0:
            return
        said, what = done.stdout + done.stderr, describe_status(done.returncode)
    except subprocess.TimeoutExpired as error:
        said, what = (error.stdout or b"") + (error.stderr or b""), f"was not done after {seconds:g} s"
    text = said.decode(errors="replace")
    if console is not None and console.exists():
        text += f"\nthe end of its console:\n{console.read_text(errors='replace')[-3000:]}"
    raise OutsideError(Issue(f"{command[0]} {what}: {text.strip()}\n", fix="mend what its output names"))
