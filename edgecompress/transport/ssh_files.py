"""Files of a device behind SSH, by the helper that runs there.

Not by SFTP: that tells no full disk from any other failure, hashes nothing, and a small board may
lack it; the helper also takes in a file faster.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgecompress.errors import DeviceError
from edgecompress.transport.base import too_large
from edgecompress.transport.files import KINDS, Files, Kind, Sent
from edgecompress.transport.local_files import damaged, explained
from edgecompress.transport.motion import Motion, stalled
from edgecompress.transport.ssh_link import SshLink
from edgecompress.transport.ssh_session import Take, expect

ANSWER_S = 120.0
"""A memory card that brings a large file to the disk is silent for long."""


@dataclass(frozen=True)
class _Exchange:
    """What goes along with a question to the helper, and comes along with its answer."""

    payload: bytes = b""
    take: Take | None = None
    timeout_s: float | None = None
    """None: ANSWER_S."""


_NOTHING = _Exchange()


class SshFiles(Files):
    """`append` calls `sent` in another thread than its caller's."""

    def __init__(self, link: SshLink) -> None:
        self._link = link

    def size(self, remote: str) -> int | None:
        answer = self._ask("size", remote)
        return None if answer is None else expect(answer, int)

    def entries(self, remote: str) -> Mapping[str, Kind]:
        found = (expect(pair, list) for pair in expect(self._ask("entries", remote), list))
        return dict(sorted(_entry(pair) for pair in found))

    def read(self, remote: str, limit_bytes: int) -> bytes | None:
        content = bytearray()

        def take(kind: bytes, body: bytes) -> None:
            if kind == b"D":
                content.extend(body)
                if len(content) > limit_bytes:
                    raise DeviceError(too_large(self._named(remote), limit_bytes))

        there = expect(self._ask("read", remote, _Exchange(take=take), limit=limit_bytes), bool)
        return bytes(content) if there else None

    def write(self, remote: str, content: bytes) -> None:
        self._ask("write", remote, _Exchange(content))

    def replace(self, remote: str, temporary: str, content: bytes) -> None:
        sent = hashlib.sha256(content).hexdigest()
        answer = self._ask("replace", remote, _Exchange(content), temporary=temporary, sha256=sent)
        if not expect(answer, bool):
            raise damaged(self._named(remote))

    def append(
        self, local: Path, remote: str, offset: int, *, timeout_s: float, sent: Sent
    ) -> None:
        fields: dict[str, JsonValue] = {"path": remote, "offset": offset}
        late = stalled(self._named(remote), timeout_s)
        motion = Motion(timeout_s, late, sent, start=offset)
        with explained(self._named(remote)):
            self._link.send("append", fields, local, offset, motion)

    def sha256(self, remote: str, length: int | None = None, *, timeout_s: float) -> str | None:
        answer = self._ask("sha256", remote, _Exchange(timeout_s=timeout_s), count=length)
        return None if answer is None else expect(answer, str)

    def make_folder(self, remote: str) -> bool:
        return expect(self._ask("make_folder", remote), bool)

    def rename(self, source: str, target: str) -> None:
        self._ask("rename", source, target=target)

    def link(self, remote: str, target: str) -> None:
        self._ask("link", remote, target=target)

    def read_link(self, remote: str) -> str | None:
        answer = self._ask("read_link", remote)
        return None if answer is None else expect(answer, str)

    def sync(self, remote: str) -> None:
        self._ask("sync", remote)

    def unlink(self, remote: str) -> None:
        self._ask("unlink", remote)

    def remove(self, remote: str) -> None:
        self._ask("remove", remote)

    def free_bytes(self, remote: str) -> int:
        return expect(self._ask("free_bytes", remote), int)

    def _ask(
        self, operation: str, remote: str, exchange: _Exchange = _NOTHING, **fields: JsonValue
    ) -> JsonValue:
        timeout_s = ANSWER_S if exchange.timeout_s is None else exchange.timeout_s
        late = f"{self._named(remote)}: '{operation}' took longer than {timeout_s:g} s"
        fields["path"] = remote
        with explained(self._named(remote)):
            motion = Motion(timeout_s, late)
            return self._link.ask(operation, fields, motion, exchange.payload, exchange.take)

    def _named(self, remote: str) -> str:
        return f"{self._link.name}:{remote}"


def _entry(pair: list[JsonValue]) -> tuple[str, Kind]:
    kind = next((kind for kind in KINDS if kind == pair[-1]), None) if len(pair) == 2 else None
    if kind is None:
        raise DeviceError(f"the helper on the device answers {pair!r:.80}; is it ours?")
    return expect(pair[0], str), kind
