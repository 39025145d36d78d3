"""An adbd that speaks the wire protocol over TCP, for the real adb server; no phone.

Messages (packages/modules/adb/protocol.txt): six words of four bytes, little end first, and data.
It says that it is an emulator, and what it runs are programs of this machine in a folder of its
own.
"""

import contextlib
import os
import queue
import socket
import struct
import threading
from pathlib import Path

from android_phone import shell, sync

HEADER = struct.Struct("<6I")
VERSION = 0x01000001
MAX_DATA = 256 << 10
CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = (
    int.from_bytes(name, "little")
    for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
BANNER = b"device::ro.product.name=testsuite;ro.product.model=adbd_of_the_testsuite;"
TOKEN, SIGNATURE = 1, 2


class Closed(Exception):
    """The other side closed the stream, or is gone."""


class Stream:
    """One service that the server opened; bytes in both directions."""

    def __init__(self, connection: "Connection", local: int, remote: int) -> None:
        self.local, self._remote = local, remote
        self._connection = connection
        self._incoming: queue.Queue[bytes | None] = queue.Queue()
        self._acknowledged = threading.Semaphore(1)
        self._left = b""
        self.is_closed = False

    def read(self, count: int) -> bytes:
        while len(self._left) < count:
            self._left += self.read_some()
        content, self._left = self._left[:count], self._left[count:]
        return content

    def read_some(self) -> bytes:
        chunk = self._incoming.get()
        if chunk is None:
            self._incoming.put(None)
            raise Closed
        self._connection.send(OKAY, self.local, self._remote)
        return chunk

    def write(self, content: bytes) -> None:
        for at in range(0, len(content), MAX_DATA):
            self._acknowledged.acquire()
            if self.is_closed:
                raise Closed
            self._connection.send(WRTE, self.local, self._remote, content[at : at + MAX_DATA])

    def close(self) -> None:
        with contextlib.suppress(Closed):
            if not self.is_closed:
                self._connection.send(CLSE, self.local, self._remote)
        self.end()

    def take(self, content: bytes) -> None:
        self._incoming.put(content)

    def acknowledge(self) -> None:
        self._acknowledged.release()

    def end(self) -> None:
        self.is_closed = True
        self._incoming.put(None)
        self._acknowledged.release()


class Connection:
    """One adb server."""

    def __init__(self, adbd: "Adbd", peer: socket.socket) -> None:
        self._adbd = adbd
        self._socket = peer
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._next = 1

    def send(self, command: int, first: int, second: int, content: bytes = b"") -> None:
        total = sum(content) & 0xFFFFFFFF
        header = HEADER.pack(command, first, second, len(content), total, command ^ 0xFFFFFFFF)
        try:
            with self._lock:
                self._socket.sendall(header + content)
        except OSError:
            raise Closed from None

    def serve(self) -> None:
        with contextlib.suppress(Closed, OSError):
            while True:
                self._handle(*self._receive())
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for stream in list(self._streams.values()):
            stream.end()

    def _receive(self) -> tuple[int, int, int, bytes]:
        command, first, second, length, _, _ = HEADER.unpack(self._exactly(HEADER.size))
        return command, first, second, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            chunk = self._socket.recv(count - len(content))
            if not chunk:
                raise Closed
            self._adbd.count(len(chunk))
            content += chunk
        return content

    def _handle(self, command: int, first: int, second: int, content: bytes) -> None:
        if command == CNXN or (command == AUTH and first == SIGNATURE):
            # Of a key that nobody allowed; the third kind of AUTH, the key, waits for the user.
            self._greet()
        elif command == OPEN and not self._adbd.is_silent:
            self._open(first, content.rstrip(b"\0").decode("utf-8", "surrogateescape"))
        elif command in (OKAY, WRTE, CLSE):
            stream = self._streams.get(second)
            if stream is None:
                return
            if command == OKAY:
                stream.acknowledge()
            elif command == WRTE:
                stream.take(content)
            else:
                del self._streams[second]
                stream.end()

    def _greet(self) -> None:
        if self._adbd.is_authorized:
            features = b"features=" + ",".join(self._adbd.features).encode()
            self.send(CNXN, VERSION, MAX_DATA, BANNER + features)
        else:
            self.send(AUTH, TOKEN, 0, os.urandom(20))

    def _open(self, remote: int, service: str) -> None:
        words, _, argument = service.partition(":")
        name = words.split(",")[0]
        if name not in ("shell", "sync"):
            self.send(CLSE, 0, remote)
            return
        local, self._next = self._next, self._next + 1
        stream = self._streams[local] = Stream(self, local, remote)
        self.send(OKAY, local, remote)
        run = shell.serve if name == "shell" else sync.serve
        threading.Thread(
            target=self._run, args=(run, stream, argument), daemon=True, name=service[:40]
        ).start()

    def _run(self, service: "shell.Service", stream: Stream, argument: str) -> None:
        try:
            with contextlib.suppress(Closed):
                service(stream, argument, self._adbd)
        finally:
            self._streams.pop(stream.local, None)
            stream.close()


class Adbd:
    """`root` holds what the server sees as /; only /data/local/tmp and the programs are there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.is_authorized = True
        self.is_silent = False
        """Takes connections and never says whether it has the service."""
        self.features = ("shell_v2", "cmd")
        self.full_after: int | None = None
        """Bytes of a file that the sync protocol takes before the disk is full."""
        self.vanish_after: int | None = None
        """Bytes received before the device is gone."""
        self._listener: socket.socket | None = None
        self._connections: list[Connection] = []
        self.port = 0
        self.appear()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def here(self, path: str) -> str:
        """A path, or text with paths, of the phone as one of this machine."""
        return path.replace("/data/local/tmp", f"{self.root}/data/local/tmp")

    def appear(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def vanish(self) -> None:
        """As when the cable is pulled."""
        if self._listener is not None:
            # Else the thread in accept() keeps the port.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    def count(self, received: int) -> None:
        if self.vanish_after is not None:
            self.vanish_after -= received
            if self.vanish_after < 0:
                self.vanish_after = None
                self.vanish()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(self, peer)
                self._connections.append(connection)
                threading.Thread(target=connection.serve, daemon=True).start()
