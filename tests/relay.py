"""A network between a client and a server here: counts what crosses, and can be cut."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READ_BYTES = 1 << 16


class Relay:
    def __init__(self, server_port: int) -> None:
        self.sent = 0
        """Bytes that have reached the server."""
        self.cut_at: int | None = None
        """At so many bytes sent, all connections end; once."""
        self.holds: Callable[[], bool] = lambda: False
        """While it says so, a cut that is due waits, and sends nothing more."""
        self.is_down = False
        """Nobody gets through."""
        self._server_port = server_port
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for end in tuple(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        # A thread that waits for connections is not woken by `close` alone.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.is_down:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for end in (client, server):
                    # Else small messages wait for one another, 40 ms each.
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open |= {client, server}
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(READ_BYTES):
                target.sendall(data)
                self.sent += counts * len(data)
                if counts and self.cut_at is not None and self.sent >= self.cut_at:
                    self.cut_at = None
                    while self.holds():
                        time.sleep(0.01)
                    self.cut()
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()
        self._open.discard(source)


@contextmanager
def relay_to(server_port: int, client_config: Path) -> Iterator[Relay]:
    """While open, who connects by this SSH configuration goes through it."""
    relay = Relay(server_port)
    before = client_config.read_text()
    client_config.write_text(before.replace(f"Port {server_port}", f"Port {relay.port}"))
    try:
        yield relay
    finally:
        client_config.write_text(before)
        relay.close()
