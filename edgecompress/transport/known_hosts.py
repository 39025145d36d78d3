"""Host keys: which are known, where they are written, and how a new one is taken down.

asyncssh reads the format. What it makes of missing files, of ports and of addresses is not what
OpenSSH makes of them, so the choice is made here, by OpenSSH's rules: a host is looked up by its
alias, or by its name in small letters (`[name]:port` where the port is not 22), and never by its IP
address.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from edgecompress.errors import StorageError

USERS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
EVERYBODYS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
SSH_PORT = 22

Keys = tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]
"""Those of hosts, of authorities, revoked ones: what asyncssh takes as `known_hosts`."""


@dataclass(frozen=True)
class Entry:
    file: Path
    line: int
    keys: Keys


class KnownHosts:
    """What the files say of one host."""

    def __init__(
        self, users: list[Path], others: list[Path], host: str, port: int, alias: str | None
    ) -> None:
        """A new key goes into the first of the user's files."""
        self.files = users
        files, host = users + others, host.lower()
        named = host if port == SSH_PORT else f"[{host}]:{port}"
        self.label = alias or named
        self.entries = _entries(files, self.label)
        # Like OpenSSH: a key known of the host at port 22 is good at another, but not binding.
        self._elsewhere = [] if self.entries or alias or named == host else _entries(files, host)

    def keys(self) -> Keys:
        hosts, authorities, revoked = [], [], []
        for entry in (*self.entries, *self._elsewhere):
            hosts += entry.keys[0]
            authorities += entry.keys[1]
            revoked += entry.keys[2]
        return hosts, authorities, revoked

    def contradicts(self) -> Entry | None:
        """Where another key is written of a host whose key is not among `keys`."""
        return next((entry for entry in self.entries if entry.keys[0]), None)

    def add(self, key: asyncssh.SSHKey) -> None:
        """Take the key down, in one write at the end of the file.

        Raises:
            StorageError: the file cannot be written.

        """
        file = self.files[0]
        words = key.export_public_key("openssh").decode().split()[:2]
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                # Other connections of ours may add their hosts at the same time.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                line = f"{self.label} {' '.join(words)}\n".encode()
                os.write(descriptor, line if _ends_a_line(descriptor) else b"\n" + line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                f"{file}: the host key of {self.label} cannot be added: {error.strerror}"
            ) from None


def _ends_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _entries(files: list[Path], label: str) -> list[Entry]:
    found = []
    for file in files:
        try:
            lines = file.read_text(errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise StorageError(f"{file}: cannot be read: {error.strerror}") from None
        for number, line in enumerate(lines, start=1):
            try:
                match = asyncssh.import_known_hosts(line).match(label, "", None)
            except ValueError:
                continue  # OpenSSH passes over what it cannot read.
            keys = (list(match[0]), list(match[1]), list(match[2]))
            if any(keys):
                found.append(Entry(file, number, keys))
    return found
