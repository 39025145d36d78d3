"""A device's folder on a file system in the machine, and the pushes that go there."""

import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, TypeVar

from power_cut_machine import Machine

from edgecompress.artifact import TensorInfo, sha256_of
from edgecompress.devices.tools import run_tool
from edgecompress.errors import EdgecompressError
from edgecompress.push import Board, Manifest, Pushed, push, switch
from edgecompress.spec.device import Device
from edgecompress.transport.faulty import Fault, Faults, FaultyTransport
from edgecompress.transport.ssh import SshTransport

T = TypeVar("T")
MOUNTED = "/mnt"
ROOT = f"{MOUNTED}/edgecompress"
DISK_BYTES = 96 << 20

Scenario = Literal["first push", "upgrade", "rollback"]


@dataclass(frozen=True)
class FileSystem:
    name: str
    make: tuple[str, ...]
    """The maker and its arguments before the image."""
    repairs: tuple[int, ...]
    """Exit codes of `fsck -a`: nothing wrong, or it was mended."""
    symlinks: bool
    needs_fsck: bool
    """It has no journal, so mounting alone mends nothing."""


FILE_SYSTEMS = (
    FileSystem("ext4", ("mkfs.ext4", "-q", "-F", "-b", "4096"), (0, 1), True, False),
    FileSystem("f2fs", ("mkfs.f2fs", "-q", "-f"), (0, 1), True, False),
    # Without symbolic links, so the pointers are files there, as on Android.
    FileSystem("vfat", ("mkfs.vfat",), (0, 1), False, True),
)


@dataclass(frozen=True)
class Release:
    model: Path
    manifest: Manifest


def releases(folder: Path, names: str, size_bytes: int) -> dict[str, Release]:
    made = {}
    for seed, name in enumerate(names):
        model = folder / f"{name}.onnx"
        model.write_bytes(random.Random(seed).randbytes(size_bytes))  # noqa: S311 - repeatable
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
        machine.run(checker, "-a", "/dev/vda", accept=file_system.repairs)
    machine.run("mount", "-t", file_system.name, "/dev/vda", MOUNTED)


@dataclass(frozen=True)
class Pushing:
    """A push or a rollback that is to be disturbed; no release: a rollback."""

    device: Device
    symlinks: bool
    release: Release | None

    def run(
        self, faults: Faults | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> Pushed:
        """Connect, as a command does, and push.

        Raises:
            EdgecompressError: it could not begin, or, of a rollback, go on.

        """
        with closing(SshTransport(self.device)) as transport:
            return self.over(transport, faults, sleep)

    def over(
        self,
        inner: SshTransport,
        faults: Faults | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Pushed:
        """Raises what `run` does."""
        inner.files.symlinks = self.symlinks
        transport = FaultyTransport(inner, faults or Faults(seed=0, rate=0.0))
        board = Board(transport, sleep)
        if self.release is None:
            return switch(board, None)

        def validate(model: str, alive: Callable[[float], None]) -> None:
            alive(60.0)
            done = transport.run(["wc", "-c", model], timeout_s=60.0)
            assert done.returncode == 0, done.stderr

        return push(board, self.release.model, self.release.manifest, validate)


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

    def __init__(self, pushing: Pushing) -> None:
        context = multiprocessing.get_context("spawn")
        self._told, telling = context.Pipe(duplex=False)
        self._process = context.Process(target=_push_and_tell, args=(pushing, telling))
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


def _push_and_tell(pushing: Pushing, telling: Connection) -> None:
    telling.send("begins")
    try:
        telling.send(pushing.run().outcome)
    except EdgecompressError as error:
        telling.send(f"failed: {error}")


def copy(source: Path, target: Path) -> None:
    """Into the same file, if there is one: a machine may have it open."""
    shutil.copyfile(source, target)
