"""A slow network in front of a server here: so many bytes per second, so late; it can stall."""

import collections
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

BUFFER_BYTES = 32 << 10
"""What the network itself holds in one direction; sockets on both sides hold little more."""
PARTS_PER_S = 20


class Direction:
    """One way, which all connections share."""

    def __init__(self, bytes_per_s: float, delay_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self.delay_s = delay_s
        self.sent = 0
        """Bytes that are through."""
        self.is_stalled = threading.Event()
        self._lock = threading.Lock()
        self._free_at = 0.0

    @property
    def part_bytes(self) -> int:
        return max(512, min(1 << 16, int(self.bytes_per_s / PARTS_PER_S)))

    def arrives_at(self, count: int) -> float:
        """When so many bytes that come now are on the other side."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + count / self.bytes_per_s
            return self._free_at + self.delay_s


class Throttle:
    """Listens on `port`; what connects there is connected to the server."""

    def __init__(self, server_port: int, bytes_per_s: float, delay_s: float) -> None:
        """`bytes_per_s` and `delay_s` are of each direction, so a round trip takes two delays."""
        self.up = Direction(bytes_per_s, delay_s)
        self.down = Direction(bytes_per_s, delay_s)
        self._server_port = server_port
        self._open: list[socket.socket] = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for end in (self._listener, *self._open):
            # A thread that waits is not woken by `close` alone.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
                self._open += [client, server]
                _Pump(client, server, self.up).start()
                _Pump(server, client, self.down).start()


class _Pump:
    def __init__(self, source: socket.socket, target: socket.socket, way: Direction) -> None:
        self._source, self._target, self._way = source, target, way
        self._held: collections.deque[tuple[float, bytes]] = collections.deque()
        self._held_bytes = 0
        self._changed = threading.Condition()

    def start(self) -> None:
        for work in (self._take, self._give):
            threading.Thread(target=work, daemon=True).start()

    def _take(self) -> None:
        data = b"-"
        while data:
            try:
                data = self._source.recv(self._way.part_bytes)
            except OSError:
                data = b""
            with self._changed:
                self._held.append((self._way.arrives_at(len(data)), data))
                self._held_bytes += len(data)
                self._changed.notify_all()
                # The delay is on its way and takes no place in the buffer.
                room = BUFFER_BYTES + self._way.bytes_per_s * self._way.delay_s
                while self._held_bytes > room:
                    self._changed.wait()

    def _give(self) -> None:
        data = b"-"
        while data:
            with self._changed:
                while not self._held:
                    self._changed.wait()
                at, data = self._held[0]
            while (left := at - time.monotonic()) > 0 or self._way.is_stalled.is_set():
                time.sleep(max(left, 0.02))
            try:
                self._target.sendall(data)
            except OSError:
                # Who is gone wants nothing more, and the other side hears of it.
                with contextlib.suppress(OSError):
                    self._source.shutdown(socket.SHUT_RDWR)
                return
            self._way.sent += len(data)
            with self._changed:
                self._held.popleft()
                self._held_bytes -= len(data)
                self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def throttled(server_port: int, bytes_per_s: float, delay_s: float) -> Iterator[Throttle]:
    """While this lasts."""
    network = Throttle(server_port, bytes_per_s, delay_s)
    try:
        yield network
    finally:
        network.close()
