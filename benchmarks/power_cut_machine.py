"""A machine in qemu whose power can be cut.

SIGKILL of qemu is a power cut of the guest: its memory is gone, and with it every page that its
kernel had not yet written. What it had written to its disk is in this machine's page cache or in
the image, which both outlive qemu (`cache.direct=off`); of a write that was under way, some
sectors may be there and others not. So this disk never loses what it has acknowledged. One that
does, because it has a cache of its own, is what `power_cut_states.py` makes of a recording.
"""

import contextlib
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from power_cut_guest import HOST

from edgecompress.errors import DeviceError
from edgecompress.push import retried
from edgecompress.spec.device import Device
from edgecompress.transport.ssh import SshTransport

BOOT_S = 300.0
"""Without hardware virtualisation it takes 20 s on an idle machine."""
COMMAND_S = 300.0
GREETING_S = 2.0
CONNECT_S = 20.0
KERNEL_ARGUMENTS = (
    "console=ttyS0 loglevel=4 panic=-1 mitigations=off nokaslr"
    # On a busy host the emulated timers are late, which is no fault.
    " no_timer_check tsc=reliable nowatchdog"
)


@dataclass(frozen=True)
class Guest:
    """What is booted."""

    qemu: str
    kernel: Path
    initramfs: Path
    ssh_config: Path
    python: str
    checkers: Mapping[str, str]
    """Names of file systems to what mends them."""
    picture: Path
    """The memory of a machine that has just booted; made by the first one that does."""
    accelerator: str = "tcg"
    memory_mib: int = 512


@dataclass
class Machine:
    """Boots with `disk`, mostly by going on from a picture of the memory of the first boot.

    That is taken when sshd listens and before the disk is mounted, so the guest knows nothing of
    what the disk holds, as after any boot, and is there in seconds.
    """

    guest: Guest
    folder: Path
    disk: Path
    started: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _control: SshTransport | None = None
    port: int = field(default_factory=lambda: _free_port())

    def __post_init__(self) -> None:
        text = self.guest.ssh_config.read_text()
        self._config = self.folder / "config"
        self._config.write_text(f"{text}  Port {self.port}\n")

    def device(self, root: str) -> Device:
        return Device(
            id=HOST,
            target="local",
            transport="ssh",
            address=HOST,
            ssh_config=self._config,
            python=self.guest.python,
            root=root,
        )

    def boot(self, log: Path | None = None, *, whole: bool = False) -> None:
        """Switch it on, and wait for its sshd.

        Args:
            log: where every write and flush of the disk is recorded.
            whole: from the first instruction of the kernel on, although there is a picture.

        Raises:
            DeviceError: it does not come up.

        """
        if not self.guest.picture.exists():
            self._take_picture()
        self._start(log, [] if whole else ["-incoming", f"exec:cat '{self.guest.picture}'"])
        self._connect()

    def _take_picture(self) -> None:
        self._start(None, [])
        self._connect()
        self._disconnect()
        # The monitor carries out one after the other; the last one ends qemu.
        text = f'migrate "exec:cat > {self.guest.picture}.part"\nquit\n'
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.folder / "monitor"))
            monitor.sendall(text.encode())
            while monitor.recv(4096):
                pass
        assert self._process is not None
        self._process.wait(COMMAND_S)
        self._process = None
        Path(f"{self.guest.picture}.part").replace(self.guest.picture)

    def cut(self) -> None:
        """The power is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._disconnect()

    def run(self, *argv: str, accept: Sequence[int] = (0,)) -> bytes:
        """What a command in the guest prints.

        Raises:
            DeviceError: it failed.

        """
        assert self._control is not None
        done = self._control.run(argv, timeout_s=COMMAND_S)
        if done.returncode not in accept:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise DeviceError(f"guest: {argv[0]} ended with {done.returncode}: {said[-300:]}")
        return done.stdout

    def _start(self, log: Path | None, more: list[str]) -> None:
        assert self._process is None
        guest = self.guest
        disk = f"driver=raw,node-name=disk,file.driver=file,file.filename={self.disk}"
        blocks = ["-blockdev", f"{disk},cache.direct=off,cache.no-flush=on"]
        if log is not None:
            log.touch()
            recorded = f"log.driver=raw,log.file.driver=file,log.file.filename={log}"
            blocks += ["-blockdev", f"driver=blklogwrites,node-name=top,file=disk,{recorded}"]
        top = "disk" if log is None else "top"
        forward = f"hostfwd=tcp:127.0.0.1:{self.port}-:22"
        argv = [
            *(guest.qemu, "-accel", guest.accelerator, "-cpu", "max", "-smp", "1"),
            *("-m", str(guest.memory_mib), "-nodefaults", "-no-user-config", "-no-reboot"),
            *("-display", "none", "-serial", f"file:{self.folder / 'serial'}"),
            *("-monitor", f"unix:{self.folder / 'monitor'},server=on,wait=off"),
            *("-kernel", str(guest.kernel), "-initrd", str(guest.initramfs)),
            *("-append", KERNEL_ARGUMENTS),
            # Nothing but the one port leads in, and nothing leads out.
            *("-netdev", f"user,id=net,restrict=on,{forward}"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
            *blocks,
            *("-device", f"virtio-blk-pci,drive={top},write-cache=on,discard=off,write-zeroes=off"),
            *more,
        ]
        with (self.folder / "qemu").open("ab") as said:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        self.started += 1

    def _connect(self) -> None:
        """Raises DeviceError when it does not come up."""
        ends = time.monotonic() + BOOT_S
        assert self._process is not None
        patience_s = GREETING_S
        while not self._greets(patience_s):
            if self._process.poll() is not None:
                raise DeviceError(f"qemu ended: {self._said()}")
            if time.monotonic() > ends:
                raise DeviceError(f"the guest does not answer: {self._said()}")
            # Each try costs the guest a process, so a slow one gets more time for the next.
            patience_s = min(1.1 * patience_s, CONNECT_S)
            time.sleep(0.2)
        self._control = retried(lambda: SshTransport(self.device("/run/control")))

    def _greets(self, patience_s: float) -> bool:
        """Whether its sshd does. Who connects while qemu begins is never answered."""
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.settimeout(patience_s)
            probe.connect(("127.0.0.1", self.port))
            return probe.recv(4) == b"SSH-"
        return False

    def _said(self) -> str:
        texts = ((self.folder / name).read_text(errors="replace") for name in ("qemu", "serial"))
        return "\n".join(text.strip()[-1000:] for text in texts)

    def _disconnect(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None


@contextlib.contextmanager
def machine(guest: Guest, disk: Path) -> Iterator[Machine]:
    """Off when this ends, however it does."""
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        made = Machine(guest, Path(name), disk)
        try:
            yield made
        finally:
            made.cut()


def _free_port() -> int:
    """Below those that the kernel gives to whoever asks for any: it is free again at every cut."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise DeviceError("no port between 20000 and 32000 is free")
