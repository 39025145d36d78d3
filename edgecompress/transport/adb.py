"""An Android device over USB or TCP, by adbutils and the adb server of this machine."""

import contextlib
import posixpath
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from edgecompress.errors import DeviceError, EdgecompressError, SpecError, StorageError
from edgecompress.transport import adb_shell, adb_sync
from edgecompress.transport.adb_files import AdbFiles
from edgecompress.transport.adb_link import AdbLink
from edgecompress.transport.base import (
    COPY_BYTES,
    Completed,
    FileStat,
    Transport,
    size_of,
    too_large,
)

ROOT = "/data/local/tmp/edgecompress"
"""The only folder of a stock phone in which adb may write and run programs."""


class AdbTransport(Transport):
    """Has no connection of its own: each call asks the adb server for one."""

    def __init__(self, address: str | None, root: str = ROOT) -> None:
        """`address`: serial number or HOST:PORT; None: the only device that is connected.

        Raises:
            RuntimeMissing: adbutils or adb is not installed here.
            DeviceError: there is no such device, it is not ready, or its Android is too old.
            StorageError: `root` cannot be made there.
            SpecError: `root` is no absolute path.

        """
        if not root.startswith("/"):
            raise SpecError(f"inventory.yaml: root '{root}' of an adb device must begin with /")
        self._link = AdbLink(address)
        self._files = AdbFiles(self._link)
        self.files = self._files
        self.name = self._link.name
        self.root = root
        self.workdir = f"{root}/work"
        self.cachedir = f"{root}/cache"
        self._files.make_folders(self.workdir)

    @property
    def serial(self) -> str:
        return self._link.serial

    def run(self, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float) -> Completed:
        command = adb_shell.Command(argv, timeout_s, stdin, self.workdir)
        return adb_shell.run(self._link, command._replace(told=self._sending(len(stdin))))

    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        self._files.make_folders(posixpath.dirname(remote))
        part = f"{remote}.{uuid.uuid4().hex}.part"
        try:
            self._files.send(local, part, timeout_s, self._sending(size_of(local)))
            self._files.rename(part, remote)
        except BaseException:
            with contextlib.suppress(EdgecompressError):
                self._files.remove(part)
            raise

    def get(
        self, remote: str, local: Path, *, timeout_s: float, limit_bytes: int = COPY_BYTES
    ) -> None:
        part: Path | None = None
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=local.parent, suffix=".part", delete=False
            ) as writer:
                part = Path(writer.name)
                for chunk in adb_sync.receive(self._link, remote, timeout_s, self._fetching):
                    writer.write(chunk)
                    if writer.tell() > limit_bytes:
                        raise DeviceError(too_large(f"{self.name}:{remote}", limit_bytes))
            part.replace(local)
        except adb_sync.Refusal as refusal:
            raise StorageError(f"{remote}: cannot be copied: {refusal}") from None
        except OSError as error:
            raise StorageError(f"{local}: cannot be written: {error.strerror}") from None
        finally:
            if part is not None:
                part.unlink(missing_ok=True)

    def stat(self, remote: str, *, timeout_s: float) -> FileStat | None:
        found = adb_sync.stat_of(self._link, remote, timeout_s)
        return None if found is None else FileStat(found.size_bytes)

    def remove(self, remote: str, *, timeout_s: float) -> None:
        self._files.remove(remote)

    def close(self) -> None:
        pass  # The adb server keeps the connection.
