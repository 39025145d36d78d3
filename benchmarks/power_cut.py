"""Pushes to a machine whose power is cut, on real file systems of a real kernel.

    sudo scripts/install-power-cut-tools.sh KERNEL
    python benchmarks/power_cut.py --kernel KERNEL

A Debian kernel in qemu has the device's folder on a disk of its own: ext4, f2fs and vfat with
their default options. A first push, an upgrade and a rollback go there by SSH, and are cut:

real cuts   qemu is killed before or after an operation of the push, or at a random moment together
            with the pusher; or the board is back at once, and the same push goes on. Then it is on
            again, and its disk is mounted as at any boot, every second time after fsck.
states      every write and flush of an undisturbed push is recorded, and what a disk may hold that
            loses its cache is made from the record (power_cut_states.py). "busy": other programs
            sync all the time.

Each time `current` must name the old or the new release, whole by sha256; the new one, if the push
had said success. One more push must end with the new one, soon, and leave nothing behind. The exit
code is 1 when anything of that did not hold. `--unsynced` tells which file systems need folders to
be synced: the pushes then forget it. TMPDIR=/dev/shm makes it faster, because thousands of states
are written and mounted.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

from power_cut_boards import FILE_SYSTEMS, Scenario, releases
from power_cut_guest import kernel_image, write_guest
from power_cut_machine import Guest
from power_cut_runs import Bench, Case, Counts, disk_states, prepare, real_cuts

from edgecompress.devices.tools import find_tools
from edgecompress.errors import RuntimeMissing

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "ldd": "libc-bin",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "mkfs.ext4": "e2fsprogs",
    "fsck.ext4": "e2fsprogs",
    "mkfs.f2fs": "f2fs-tools",
    "fsck.f2fs": "f2fs-tools",
    "mkfs.vfat": "dosfstools",
    "fsck.vfat": "dosfstools",
}
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)


def main() -> None:
    names = [file_system.name for file_system in FILE_SYSTEMS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", type=Path, required=True, help="an unpacked kernel package")
    parser.add_argument("--cuts", type=int, default=6, help="real ones, of each scenario")
    parser.add_argument("--states", type=int, default=40, help="of each recording")
    parser.add_argument("--each", type=int, default=4, help="selections between two flushes")
    parser.add_argument("--file-systems", nargs="+", choices=names, default=names)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--megabytes", type=float, default=3.0, help="of a model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unsynced", action="store_true", help="folders are not synced")
    parser.add_argument("--accelerator", default="tcg", help="tcg, or kvm where that works")
    arguments = parser.parse_args()
    try:
        tools = find_tools(TOOLS, "benchmarks/power_cut.py")
        kernel = kernel_image(arguments.kernel)
    except RuntimeMissing as error:
        print(f"skipped: {error}")
        return
    # So that the machine is switched off and what is temporary removed, whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    began, counts = time.monotonic(), Counts()
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        folder = Path(name)
        initramfs, config = write_guest(folder, arguments.kernel, tools)
        guest = Guest(
            qemu=tools["qemu-system-x86_64"],
            kernel=kernel,
            initramfs=initramfs,
            ssh_config=config,
            python=str(Path(sys.executable).resolve()),
            picture=folder / "picture",
            checkers={name: tools[f"fsck.{name}"] for name in names},
            accelerator=arguments.accelerator,
        )
        made = releases(folder, "ABC", int(arguments.megabytes * 1e6))
        rng = random.Random(arguments.seed)
        bench = Bench(guest, tools, folder, made, counts, rng, not arguments.unsynced)
        for file_system in FILE_SYSTEMS:
            if file_system.name not in arguments.file_systems:
                continue
            prepare(bench, file_system)
            for scenario in arguments.scenarios:
                case = Case(bench, file_system, scenario)
                if arguments.cuts:
                    real_cuts(case, arguments.cuts)
                for busy in (False, True) if arguments.states else ():
                    disk_states(case, arguments.each, arguments.states, busy=busy)
    _report(counts, time.monotonic() - began)
    sys.exit(1 if counts.violations else 0)


def _report(counts: Counts, took_s: float) -> None:
    print("\n".join(["", *counts.violations, ""]))
    for row, checked in counts.checked.items():
        wrong = {
            line.split(": ")[0]
            for line in counts.violations
            if line.startswith(f"VIOLATION {row},")
        }
        print(f"{row:40}{checked:6}  violations in {len(wrong)}")
    said = ", ".join(f"{outcome} {count}" for outcome, count in counts.said.most_common())
    print(f"what the cut pushes had said: {said}")
    print(f"{sum(counts.checked.values())} states in {took_s / 60:.0f} min")


if __name__ == "__main__":
    main()
