"""A Linux board behind SSH."""

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import JsonValue

from edgecompress.errors import DeviceError, StorageError
from edgecompress.spec.device import Device
from edgecompress.transport.base import (
    COPY_BYTES,
    STDERR_BYTES,
    STDOUT_BYTES,
    Completed,
    FileStat,
    Transport,
    size_of,
    too_large,
)
from edgecompress.transport.motion import Motion, stalled
from edgecompress.transport.ssh_files import SshFiles
from edgecompress.transport.ssh_link import SshLink
from edgecompress.transport.ssh_session import expect

PYTHON = "python3"
ROOT = "~/.edgecompress"
WORK = "work"


class SshTransport(Transport):
    """Works in ROOT/work on the board, by a helper that the board's own Python runs.

    The working folder and the root are made. `python` and the first word of `run` may begin with
    `~/`, the home there.
    """

    def __init__(self, device: Device) -> None:
        """Connect.

        Raises:
            TransientError: it does not answer.
            DeviceError: its host key is refused, or it accepts no key of ours.
            RuntimeMissing: it has no Python.
            SpecError: the SSH configuration cannot be read.
            StorageError: the root cannot be made there.

        """
        self._link = SshLink(device, device.python or PYTHON)
        self.name = self._link.name
        self.files = SshFiles(self._link)
        try:
            self.root = self._link.open(device.root or ROOT, WORK)
        except OSError as error:
            self._link.close()
            raise StorageError(
                f"{error.filename or self.name}: cannot be made: {error.strerror}; give another"
                " `root` in the inventory"
            ) from None
        except BaseException:
            self._link.close()
            raise
        self.workdir = f"{self.root}/{WORK}"
        self.cachedir = f"{self.root}/cache"
        self.notes = tuple(self._link.notes)

    def run(self, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float) -> Completed:
        stdout, stderr = bytearray(), bytearray()

        def take(kind: bytes, body: bytes) -> None:
            if kind == b"D":
                stdout.extend(body)
            elif kind == b"S":
                stderr.extend(body)
                del stderr[:-STDERR_BYTES]
            if len(stdout) > STDOUT_BYTES:
                raise DeviceError(too_large(f"{self.name}: '{argv[0]}'", STDOUT_BYTES))

        fields: dict[str, JsonValue] = {"argv": list(argv), "cwd": self.workdir}
        late = f"{self.name}: '{argv[0]}' ran longer than {timeout_s:g} s"
        try:
            motion = Motion(timeout_s, late, self._sending(len(stdin)))
            answer = self._link.ask("run", fields, motion, stdin, take)
        except OSError as error:
            raise DeviceError(
                f"{self.name}: '{argv[0]}' cannot be started: {error.strerror}"
            ) from None
        return Completed(expect(answer, int), bytes(stdout), bytes(stderr))

    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        fields: dict[str, JsonValue] = {"path": remote, "suffix": uuid.uuid4().hex}
        with self._copying(remote):
            told = self._sending(size_of(local))
            motion = Motion(timeout_s, stalled(f"{self.name}:{remote}", timeout_s), told)
            self._link.send("put", fields, local, 0, motion)

    def get(
        self, remote: str, local: Path, *, timeout_s: float, limit_bytes: int = COPY_BYTES
    ) -> None:
        late = stalled(f"{self.name}:{remote}", timeout_s)
        with _appearing(local) as writer, self._copying(remote):

            def take(kind: bytes, body: bytes) -> None:
                if kind == b"D":
                    with _written(local):
                        writer.write(body)
                        if writer.tell() > limit_bytes:
                            raise DeviceError(too_large(f"{self.name}:{remote}", limit_bytes))

            self._link.fetch(remote, Motion(timeout_s, late, self._fetching), take)

    def stat(self, remote: str, *, timeout_s: float) -> FileStat | None:
        answer = self._small("size", remote, timeout_s)
        return None if answer is None else FileStat(expect(answer, int))

    def remove(self, remote: str, *, timeout_s: float) -> None:
        self._small("remove", remote, timeout_s)

    def close(self) -> None:
        self._link.close()

    def _small(self, operation: str, remote: str, timeout_s: float) -> JsonValue:
        late = f"{self.name}:{remote}: '{operation}' took longer than {timeout_s:g} s"
        try:
            return self._link.ask(operation, {"path": remote}, Motion(timeout_s, late))
        except OSError as error:
            raise StorageError(f"{self.name}:{remote}: {error.strerror}") from None

    @contextmanager
    def _copying(self, remote: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename or f"{self.name}:{remote}"
            raise StorageError(
                f"{where}: cannot be copied: {error.strerror}; check space and permissions there"
            ) from None


@contextmanager
def _appearing(local: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which gets the name `local` if all goes well."""
    with _written(local):
        local.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=local.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as writer:
            yield writer
        with _written(local):
            part.replace(local)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _written(local: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{local}: cannot be written: {error.strerror}; check space and permissions"
        ) from None
