"""Files of an Android device: adb's sync protocol, and toybox where that has no word for it."""

import hashlib
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from edgecompress.errors import DeviceError, StorageError
from edgecompress.transport import adb_shell, adb_sync
from edgecompress.transport.adb_link import AdbLink
from edgecompress.transport.base import Completed
from edgecompress.transport.files import Files, Kind, Sent
from edgecompress.transport.local_files import damaged

STEP_S = 60.0
"""For one step without much data."""
WORDS_BYTES = 64 << 10
"""All that a script of ours has to say."""
ABSENT, DAMAGED = 44, 45
"""Exit codes of our own scripts, which toybox has no use for."""
FULL = ("no space left", "quota exceeded")
FORBIDDEN = ("read-only file system", "permission denied", "not permitted")

# Scripts are fixed texts; names reach them as arguments only. fsync came with Android 10. The umask
# is for the application, which is another user there.
NO_LINK = 'if [ -L "$1" ]; then echo "$1: is a symbolic link, not followed" >&2; exit 1; fi'
PLAIN = (
    f'{NO_LINK}; if [ -e "$1" ] && [ ! -f "$1" ]; then echo "$1: is no plain file" >&2; exit 1; fi'
)
THERE = f'{PLAIN}; [ -e "$1" ] || exit {ABSENT}'
TO_DISK = (
    'to_disk() { [ -e "$1" ] && if command -v fsync >/dev/null; then fsync "$1"; else sync; fi; }'
)
SYNC = f'{TO_DISK}; to_disk "$1"'
WRITE = f'{PLAIN}; umask 022; cat > "$1" && {SYNC}'
READ = f'{THERE}; head -c "$2" "$1"'
HASH = f'{THERE}; sha256sum < "$1"'
HASH_START = f'{THERE}; head -c "$2" "$1" | sha256sum'
# Not `rm -f`, which is silent of a folder on some versions.
UNLINK = 'if [ -d "$1" ] && [ ! -L "$1" ]; then echo "$1: is a folder" >&2; exit 1; fi; rm -f "$1"'
MAKE_FOLDER = f'umask 022; mkdir "$1" && exit; [ -e "$1" ] && exit {ABSENT}; exit 1'
MAKE_FOLDERS = 'umask 022; mkdir -p "$1"'
# Without -T, which came late, mv would put it into a folder of that name.
RENAME = 'if [ -d "$2" ]; then echo "$2: is a folder" >&2; exit 1; fi; mv -f "$1" "$2"'
REPLACE = (
    f'{WRITE} || exit 1; if [ "$(sha256sum < "$1" | head -c 64)" != "$3" ]; then'
    f' rm -f "$1"; exit {DAMAGED}; fi; {RENAME} && to_disk "${{2%/*}}"'
)


class AdbFiles(Files):
    """Android's apps and its SD cards follow no symbolic links, so pushes use pointer files; and
    the sync protocol has no offsets, so a cut upload begins again.
    """

    symlinks = False
    resumes = False

    def __init__(self, link: AdbLink) -> None:
        self._link = link

    def size(self, remote: str) -> int | None:
        found = adb_sync.stat_of(self._link, remote, STEP_S)
        return None if found is None else found.size_bytes

    def entries(self, remote: str) -> Mapping[str, Kind]:
        if not remote.endswith("/"):
            itself = adb_sync.stat_of(self._link, remote, STEP_S)
            if itself is None or stat.S_ISLNK(itself.mode):
                return {}
        found = adb_sync.entries_in(self._link, remote, STEP_S)
        return {name: _kind(mode) for name, mode in found.items()}

    def read(self, remote: str, limit_bytes: int) -> bytes | None:
        command = ["sh", "-c", READ, "sh", remote, str(limit_bytes)]
        done = adb_shell.run(
            self._link, adb_shell.Command(command, STEP_S, stdout_bytes=limit_bytes)
        )
        if done.returncode == ABSENT:
            return None
        self._check(done, remote)
        return done.stdout

    def write(self, remote: str, content: bytes) -> None:
        self._check(self._script(WRITE, remote, stdin=content), remote)

    def replace(self, remote: str, temporary: str, content: bytes) -> None:
        sent = hashlib.sha256(content).hexdigest()
        done = self._script(REPLACE, temporary, remote, sent, stdin=content)
        if done.returncode == DAMAGED:
            raise damaged(remote)
        self._check(done, remote)

    def append(
        self, local: Path, remote: str, offset: int, *, timeout_s: float, sent: Sent
    ) -> None:
        if offset:
            raise DeviceError(f"{remote}: adb sends whole files, not what is behind {offset}")
        self.send(local, remote, timeout_s, sent)
        self.sync(remote)

    def send(self, local: Path, remote: str, timeout_s: float, sent: Sent) -> None:
        """A whole file, which is not yet on the disk when this returns."""
        try:
            with local.open("rb") as reader:
                adb_sync.send(self._link, reader, remote, timeout_s, sent)
        except adb_sync.Refusal as refusal:
            self._refuse(str(refusal), remote)
        except OSError as error:
            raise StorageError(f"{local}: cannot be read: {error.strerror}") from None

    def sha256(self, remote: str, length: int | None = None, *, timeout_s: float) -> str | None:
        if length is None:
            done = self._script(HASH, remote, timeout_s=timeout_s)
        else:
            done = self._script(HASH_START, remote, str(length), timeout_s=timeout_s)
        if done.returncode == ABSENT:
            return None
        self._check(done, remote)
        found = re.match(rb"[0-9a-f]{64}\b", done.stdout)
        if found is None:
            raise DeviceError(f"{self._link.name}: sha256sum printed no hash of {remote}")
        return found.group().decode()

    def make_folder(self, remote: str) -> bool:
        done = self._script(MAKE_FOLDER, remote)
        if done.returncode == ABSENT:
            return False
        self._check(done, remote)
        return True

    def make_folders(self, remote: str) -> None:
        """With those that it lies in, where they are not there."""
        self._check(self._script(MAKE_FOLDERS, remote), remote)

    def rename(self, source: str, target: str) -> None:
        self._check(self._script(RENAME, source, target), source)

    def link(self, remote: str, target: str) -> None:
        raise DeviceError(f"{remote}: no symbolic links on Android; use a file that holds a name")

    def read_link(self, remote: str) -> str | None:
        return None

    def sync(self, remote: str) -> None:
        self._check(self._script(SYNC, remote), remote)

    def unlink(self, remote: str) -> None:
        self._check(self._script(UNLINK, remote), remote)

    def remove(self, remote: str) -> None:
        self._check(self._run("rm", "-rf", remote), remote)

    def free_bytes(self, remote: str) -> int:
        done = self._run("df", "-k", remote)
        self._check(done, remote)
        # Filesystem, blocks, used, available, 4%, mounted on; a long first one takes its own line.
        found = re.findall(rb"\s\d+\s+\d+\s+(\d{1,18})\s+\d+%\s", done.stdout)
        if len(found) != 1:
            raise DeviceError(f"{self._link.name}: df does not say how much space {remote} has")
        return int(found[0]) * 1024

    def _script(
        self, script: str, *arguments: str, stdin: bytes = b"", timeout_s: float = STEP_S
    ) -> Completed:
        return self._run("sh", "-c", script, "sh", *arguments, stdin=stdin, timeout_s=timeout_s)

    def _run(self, *argv: str, stdin: bytes = b"", timeout_s: float = STEP_S) -> Completed:
        command = adb_shell.Command(argv, timeout_s, stdin, stdout_bytes=WORDS_BYTES)
        return adb_shell.run(self._link, command)

    def _check(self, done: Completed, remote: str) -> None:
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            self._refuse(said or f"exit code {done.returncode}", remote)

    def _refuse(self, said: str, remote: str) -> NoReturn:
        """The device's words, by what they mean."""
        where = f"{self._link.name}: {said}" if remote in said else f"{remote}: {said}"
        if any(words in said.lower() for words in FULL):
            raise StorageError(f"{where}; make room there")
        if any(words in said.lower() for words in FORBIDDEN):
            raise StorageError(f"{where}; that folder must be writable")
        raise DeviceError(where)


def _kind(mode: int) -> Kind:
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"
