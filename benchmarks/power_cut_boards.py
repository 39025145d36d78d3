"""A device's folder on a file system in the machine, and the pushes that go there."""

import multiprocessing
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from power_cut_machine import Machine

from edgecompress.artifact import TensorInfo, sha256_of
from edgecompress.devices.tools import run_tool
from edgecompress.errors import DeviceError, EdgecompressError
from edgecompress.push import Board, Manifest, Pushed, push, retried, switch
from edgecompress.spec.device import Device
from edgecompress.transport import LocalTransport, Transport
from edgecompress.transport.faulty import Fault, Faults, FaultyFiles, FaultyTransport
from edgecompress.transport.ssh import SshTransport

T = TypeVar("T")
MOUNTED = "/mnt"
ROOT = f"{MOUNTED}/edgecompress"
DISK_BYTES = 96 << 20
REPAIRED = (0, 1)
"""What `fsck -a` ends with when nothing was wrong, or it was mended."""

Scenario = Literal["first push", "upgrade", "rollback"]


@dataclass(frozen=True)
class FileSystem:
    name: str
    make: tuple[str, ...]
    """The maker and its arguments before the image."""
    symlinks: bool
    needs_fsck: bool
    """It has no journal, so mounting alone mends nothing."""


FILE_SYSTEMS = (
    FileSystem("ext4", ("mkfs.ext4", "-q", "-F", "-b", "4096"), True, False),
    FileSystem("f2fs", ("mkfs.f2fs", "-q", "-f"), True, False),
    # Without symbolic links, so the pointers are files there, as on Android.
    FileSystem("vfat", ("mkfs.vfat",), False, True),
)


@dataclass(frozen=True)
class Release:
    model: Path
    manifest: Manifest


def releases(folder: Path, names: str, size_bytes: int) -> dict[str, Release]:
    made = {}
    for seed, name in enumerate(names):
        model = folder / f"{name}.onnx"
        model.write_bytes(random.Random(seed).randbytes(size_bytes))
        tensor = TensorInfo(name="x", shape=("N", 3), dtype="float32")
        made[name] = Release(
            model,
            Manifest(
                file="model.onnx",
                format="onnx",
                sha256=sha256_of(model),
                size_bytes=size_bytes,
                target="local",
                recipe_digest="0" * 64,
                inputs=(tensor,),
                outputs=(tensor,),
            ),
        )
    return made


def make_disk(file_system: FileSystem, disk: Path, tools: dict[str, str]) -> None:
    disk.touch()
    os.truncate(disk, DISK_BYTES)
    run_tool([tools[file_system.make[0]], *file_system.make[1:], str(disk)])


def mount(machine: Machine, file_system: FileSystem, *, fsck: bool = False) -> None:
    """Raises DeviceError when it cannot be mended or mounted."""
    if fsck or file_system.needs_fsck:
        checker = machine.guest.checkers[file_system.name]
        machine.run(checker, "-a", "/dev/vda", accept=REPAIRED)
    machine.run("mount", "-t", file_system.name, "/dev/vda", MOUNTED)


class Side(Protocol):
    """Where a disk is looked at: any kernel that knows its file system will do."""

    transport: Transport
    """To the device's root on it."""

    def mount(self, *, fsck: bool) -> None:
        """Raises DeviceError when it cannot be mended or mounted."""

    def umount(self) -> None: ...

    def close(self) -> None: ...


class InGuest:
    """The disk of a machine that is on and has not mounted it."""

    def __init__(self, machine: Machine, file_system: FileSystem) -> None:
        self._machine, self._file_system = machine, file_system
        # One for all states: connecting takes as long as a push.
        self.transport: Transport = retried(lambda: SshTransport(machine.device(ROOT)))

    def mount(self, *, fsck: bool) -> None:
        mount(self._machine, self._file_system, fsck=fsck)
        # What whoever connects does.
        self._machine.run("mkdir", "-p", self.transport.workdir)

    def umount(self) -> None:
        self._machine.run("umount", MOUNTED)

    def close(self) -> None:
        self.transport.close()


class Here:
    """An image, mounted by the kernel of this machine, which is quicker than an emulated one."""

    def __init__(self, image: Path, file_system: FileSystem, checker: str) -> None:
        self._image, self._file_system, self._checker = image, file_system, checker
        self._mounted = image.with_name("mounted")
        self._mounted.mkdir(exist_ok=True)
        root = self._mounted / "edgecompress"
        self.transport: Transport = LocalTransport(root / "work", root)

    @staticmethod
    def can(file_system: FileSystem) -> bool:
        known = Path("/proc/filesystems").read_text().split()
        return os.geteuid() == 0 and file_system.name in known

    def mount(self, *, fsck: bool) -> None:
        if fsck or self._file_system.needs_fsck:
            done = subprocess.run(
                [self._checker, "-a", str(self._image)], capture_output=True, check=False
            )
            if done.returncode not in REPAIRED:
                raise DeviceError(f"fsck ended with {done.returncode}: {done.stdout!r}")
        kind = self._file_system.name
        run_tool(["mount", "-o", "loop", "-t", kind, str(self._image), str(self._mounted)])
        (self._mounted / "edgecompress" / "work").mkdir(parents=True, exist_ok=True)

    def umount(self) -> None:
        run_tool(["umount", str(self._mounted)])

    def close(self) -> None:
        self.transport.close()


@dataclass(frozen=True)
class Pushing:
    """A push or a rollback that is to be disturbed; no release: a rollback."""

    symlinks: bool
    release: Release | None
    syncs: bool = True
    """Whether folders are brought to the disk."""

    def run(
        self,
        device: Device,
        faults: Faults | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Pushed:
        """Connect, as a command does, and push.

        Raises:
            EdgecompressError: it could not begin, or, of a rollback, go on.

        """
        with closing(SshTransport(device)) as transport:
            return self.over(transport, faults, sleep)

    def over(
        self,
        inner: Transport,
        faults: Faults | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Pushed:
        """Raises what `run` does."""
        inner.files.symlinks = self.symlinks
        transport = FaultyTransport(inner, faults or Faults(seed=0, rate=0.0))
        board = Board(transport if self.syncs else _Unsynced(transport), sleep)
        if self.release is None:
            return switch(board, None)

        def validate(model: str, alive: Callable[[float], None]) -> None:
            alive(60.0)
            done = transport.run(["wc", "-c", model], timeout_s=60.0)
            assert done.returncode == 0, done.stderr

        return push(board, self.release.model, self.release.manifest, validate)


class _Unsynced(FaultyTransport):
    """Forgets to sync folders."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner, Faults(seed=0, rate=0.0))
        self.files = _UnsyncedFiles(inner.files, self.faults)


class _UnsyncedFiles(FaultyFiles):
    def sync(self, remote: str) -> None:
        pass


class CutAt(Faults):
    """The power is cut before or after the operation of that number, once."""

    def __init__(self, number: int, cut: Callable[[], None], *, after: bool) -> None:
        super().__init__(seed=0, rate=0.0)
        self._number = number
        self._cut = cut
        self._after = after
        self.cut_at: str | None = None

    def apply(self, operation: str, work: Callable[[], T], fault: Fault | None) -> T:
        if self.operations != self._number or self.cut_at is not None:
            return work()
        self.cut_at = f"{'after' if self._after else 'before'} {operation}"
        if not self._after:
            self._cut()
            return work()
        result = work()
        self._cut()
        return result


class Pusher:
    """A push in a process of its own, which dies together with the machine."""

    def __init__(self, pushing: Pushing, device: Device) -> None:
        context = multiprocessing.get_context("spawn")
        self._told, telling = context.Pipe(duplex=False)
        self._process = context.Process(target=_push_and_tell, args=(pushing, device, telling))
        self._process.start()
        telling.close()
        self._told.recv()

    def kill(self) -> str | None:
        """What the push had said, if it had ended."""
        self._process.kill()
        self._process.join()
        with closing(self._told):
            try:
                return str(self._told.recv())
            except EOFError:
                return None


def _push_and_tell(pushing: Pushing, device: Device, telling: Connection) -> None:
    telling.send("begins")
    try:
        telling.send(pushing.run(device).outcome)
    except EdgecompressError as error:
        telling.send(f"failed: {error}")


def copy(source: Path, target: Path) -> None:
    """Into the same file, if there is one: a machine may have it open."""
    shutil.copyfile(source, target)
