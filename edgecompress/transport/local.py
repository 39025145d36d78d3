"""The machine we run on, as a device: subprocesses and copies."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgecompress.errors import DeviceError, StorageError, TimedOut
from edgecompress.transport.base import (
    COPY_BYTES,
    STDOUT_BYTES,
    Completed,
    FileStat,
    Transport,
    too_large,
)
from edgecompress.transport.local_files import LocalFiles
from edgecompress.transport.local_process import LocalProcess, TooMuch
from edgecompress.transport.motion import Motion, stalled

CHUNK_BYTES = 4 << 20


class LocalTransport(Transport):
    """Works in `workdir`, which is made when it is not there; what is pushed goes to `root`."""

    name = "this machine"

    def __init__(self, workdir: Path, root: Path | None = None) -> None:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{workdir}: cannot be made: {error.strerror}") from None
        self.workdir = self.cachedir = str(workdir.resolve())
        self.root = str((root or workdir / "pushed").absolute())
        self.files = LocalFiles()

    def run(self, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float) -> Completed:
        try:
            process = LocalProcess(argv, self.workdir)
        except OSError as error:
            raise DeviceError(
                f"{self.name}: '{argv[0]}' cannot be started: {error.strerror}"
            ) from None
        try:
            return Completed(*process.talk(stdin, timeout_s))
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{self.name}: '{argv[0]}' ran longer than {timeout_s:g} s") from None
        except TooMuch:
            raise DeviceError(too_large(f"{self.name}: '{argv[0]}'", STDOUT_BYTES)) from None
        finally:
            # Also on KeyboardInterrupt: in a session of its own it does not get the terminal's.
            process.end()

    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        _copy(local, Path(remote), timeout_s)

    def get(
        self, remote: str, local: Path, *, timeout_s: float, limit_bytes: int = COPY_BYTES
    ) -> None:
        _copy(Path(remote), local, timeout_s, limit_bytes)

    def stat(self, remote: str, *, timeout_s: float) -> FileStat | None:
        try:
            return FileStat(Path(remote).stat().st_size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{remote}: cannot be read: {error.strerror}") from None

    def remove(self, remote: str, *, timeout_s: float) -> None:
        try:
            Path(remote).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{remote}: cannot be removed: {error.strerror}") from None

    def close(self) -> None:
        pass  # Nothing is open.


def _copy(source: Path, target: Path, timeout_s: float, limit_bytes: int | None = None) -> None:
    motion = Motion(timeout_s, stalled(str(target), timeout_s))
    part: Path | None = None
    try:
        if target.exists() and source.samefile(target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            source.open("rb") as reader,
            tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as writer,
        ):
            part = Path(writer.name)
            while chunk := reader.read(CHUNK_BYTES):
                if motion.left_s() <= 0:
                    raise motion.late()
                writer.write(chunk)
                motion.at(writer.tell())
                if limit_bytes is not None and writer.tell() > limit_bytes:
                    raise DeviceError(too_large(str(source), limit_bytes))
        part.replace(target)
    except OSError as error:
        where = error.filename or target
        raise StorageError(
            f"{where}: cannot be copied: {error.strerror}; check space and permissions there"
        ) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
