"""Channel 'adb': an adb server on a loopback port, and a phone behind it, that say what they like.

The host's protocol, the shell's packets and the files' protocol are read by the real transport.
"""

import os
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from hostile.calls import DEADLINE_S, FileCalls
from hostile.channel import Channel
from hostile.mutate import ENDLESS_CHUNK, changed_bytes

from edgecompress.transport import adb_files, adb_link, adb_shell
from edgecompress.transport.adb import AdbTransport

SERIAL = "phone"
SHELL = struct.Struct("<BI")
STDOUT, STDERR, EXIT = 1, 2, 3
Bytes = Iterator[bytes | float]
"""Chunks, and seconds of silence between them."""


def block(text: bytes) -> bytes:
    return f"{len(text):04x}".encode() + text


def shell(*packets: tuple[int, bytes]) -> bytes:
    return b"".join(SHELL.pack(kind, len(body)) + body for kind, body in packets)


def ended(stdout: bytes = b"", code: int = 0, stderr: bytes = b"") -> bytes:
    return shell((STDOUT, b"4711\n" + stdout), (STDERR, stderr), (EXIT, bytes([code])))


def entry(name: bytes, mode: int) -> bytes:
    return b"DENT" + struct.pack("<IIII", mode, 7, 0, len(name)) + name


def data(content: bytes) -> bytes:
    return b"DATA" + struct.pack("<I", len(content)) + content


DONE = b"DONE" + bytes(4)
LISTED = entry(b".", 0o40755) + entry(b"current", 0o100644) + entry(b"releases", 0o40755)
SYNC = ("size", "entries", "append", "get")
DF = b"Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/x 100 50 4000000 2% /data\n"
ASKED: tuple[tuple[str, bytes], ...] = (
    ("size", b"STAT" + struct.pack("<III", 0o100644, 1234, 0)),
    ("entries", LISTED + b"DONE" + bytes(16)),
    ("read", ended(b"0123456789")),
    ("write", ended()),
    ("append", b"OKAY" + bytes(4)),
    ("sha256", ended(b"0" * 64 + b"  -\n")),
    ("make_folder", ended(code=44)),
    ("rename", ended(code=1, stderr=b"mv: no space left on device\n")),
    ("remove", ended()),
    ("free_bytes", ended(DF)),
    ("run", ended(b"out" * 100, stderr=b"err" * 50)),
    ("get", data(b"d" * 3000) + data(b"e" * 3000) + DONE),
    ("connect", b"shell_v2,cmd,stat_v2"),
)


class Server:
    """Answers one connection after the other."""

    def __init__(self) -> None:
        self.said: Callable[[bytes], Bytes] = right_device
        """What comes behind the agreement to a service of the device."""
        self.host: Callable[[bytes], Bytes] = right_host
        """What the server itself answers."""
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        said, host = self.said, self.host
        with connection:
            try:
                connection.settimeout(5)
                while True:
                    length = _exactly(connection, 4)
                    service = _exactly(connection, int(length, 16))
                    if not service.startswith((b"host:", b"host-serial:")):
                        send(connection, iter([b"OKAY"]))
                        send(connection, said(service))
                        break
                    send(connection, host(service))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass
            except (OSError, ValueError):
                pass


def right_host(service: bytes) -> Bytes:
    if service == b"host:devices":
        return iter([b"OKAY", block(SERIAL.encode() + b"\tdevice\n")])
    if service.startswith(b"host-serial:"):
        return iter([b"OKAY", block(b"shell_v2,cmd,stat_v2")])
    return iter([b"OKAY"])


def right_device(service: bytes) -> Bytes:
    return iter([b"OKAY" + bytes(4) if service == b"sync:" else ended()])


def of_service(name: str, played: Callable[[], Bytes]) -> Callable[[bytes], Bytes]:
    """This of the service that the question is of, and right answers of the other."""

    def said(service: bytes) -> Bytes:
        is_meant = (service == b"sync:") == (name in SYNC)
        return played() if is_meant else right_device(service)

    return said


def send(connection: socket.socket, chunks: Bytes) -> None:
    for chunk in chunks:
        if isinstance(chunk, float):
            time.sleep(chunk)
        else:
            connection.sendall(chunk)


def _exactly(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        chunk = connection.recv(count - len(content))
        if not chunk:
            raise OSError
        content += chunk
    return content


class AdbChannel(FileCalls, Channel):
    name = "adb"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._source = folder / "source"
        self._source.write_bytes(b"model" * 1000)
        self.server = Server()
        environment = {"ANDROID_ADB_SERVER_PORT": str(self.server.port)}
        self._patches = [
            mock.patch.dict(os.environ, environment),
            mock.patch.object(adb_files, "STEP_S", DEADLINE_S),
            mock.patch.object(adb_link, "CONNECT_S", DEADLINE_S),
            mock.patch.object(adb_shell, "KILL_S", DEADLINE_S),
            mock.patch.dict(adb_files.AdbFiles._script.__kwdefaults__, {"timeout_s": DEADLINE_S}),
            mock.patch.dict(adb_files.AdbFiles._run.__kwdefaults__, {"timeout_s": DEADLINE_S}),
        ]
        for patch in self._patches:
            patch.start()
        self.transport = AdbTransport(SERIAL)
        self.right()

    def close(self) -> None:
        for patch in self._patches:
            patch.stop()
        self.server.close()

    def right(self) -> None:
        for name, answer in ASKED:
            if name not in ("connect", "rename"):
                self.server.said = of_service(name, lambda answer=answer: iter([answer]))
                getattr(self, f"_{name}")()

    def answer(self, seed: int) -> object:
        rng = random.Random(seed)
        name, answer = rng.choice(ASKED)
        self.server.said = of_service(name, lambda: played(rng, answer))
        # Of the host's own answers only when it is looked for, lest most seeds end there.
        if name == "connect":
            wrong = rng.randrange(4)
            self.server.host = lambda service: _host(rng, wrong, service)
            try:
                return AdbTransport(rng.choice((SERIAL, "", "10.0.0.7:5555")))
            finally:
                self.server.host = right_host
        return getattr(self, f"_{name}")()

    def _sha256(self) -> object:
        found = super()._sha256()
        assert found is None or re.fullmatch("[0-9a-f]{64}", str(found))
        return found


def _host(rng: random.Random, wrong: int, service: bytes) -> Bytes:
    """The right answer to all but one kind of question."""
    kinds = (b"host:devices", b"host-serial:", b"host:transport:", b"host:connect:")
    if not service.startswith(kinds[wrong]):
        return right_host(service)
    whole = b"".join(chunk for chunk in right_host(service) if isinstance(chunk, bytes))
    return played(rng, whole)


def played(rng: random.Random, answer: bytes) -> Bytes:
    way = rng.randrange(12)
    if way == 0 and rng.random() < 0.3:
        return endless(rng)
    if way == 1 and rng.random() < 0.05:
        return trickled(answer)
    if way == 2 and rng.random() < 0.1:
        return iter([answer[: rng.randrange(len(answer))], DEADLINE_S * 2])
    if way == 3:
        return iter([answer * rng.choice((2, 50))])
    if way == 4:
        return iter([b"FAIL" + block(changed_bytes(rng, b"why \x1b[31m not"))])
    if way == 5:
        return iter([b"FAIL" + struct.pack("<I", rng.choice((3, 2**31))) + b"why"])
    return iter([changed_bytes(rng, answer)])


def endless(rng: random.Random) -> Bytes:
    body = rng.choice((b"", b"x", b"y" * 1000, b"z" * ENDLESS_CHUNK))
    one = rng.choice(
        (
            shell((STDOUT, body)),
            shell((STDERR, body)),
            shell((STDOUT, b"1\n"), (STDOUT, body)),
            entry(body[:1000], 0o100644),
            entry(body[:200], 0o40755),
            data(body),
            b"FAIL" + block(body[:5000]),
            b"9" * 1000,
        )
    )
    repeated = one * max(1, ENDLESS_CHUNK // len(one))
    while True:
        yield repeated


def trickled(content: bytes) -> Bytes:
    for byte in content:
        yield bytes([byte])
        yield 0.05
