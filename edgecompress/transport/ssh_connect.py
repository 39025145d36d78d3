"""Opening an SSH connection: the user's configuration, host keys, jump hosts, and plain errors.

Passwords are never asked for: a key or an agent opens a device. Host keys are always checked, and
jump hosts by the same rule as the device.
"""

import asyncio
import shlex
import socket
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from edgecompress.errors import DeviceError, EdgecompressError, SpecError, TransientError
from edgecompress.spec.device import Device
from edgecompress.transport.known_hosts import EVERYBODYS, USERS, KnownHosts
from edgecompress.transport.ssh_route import Route, jump_of, route_to

CONNECT_S = 20.0
"""Until a device says which SSH it speaks."""
LOGIN_S = 60.0
"""Until its key and ours are accepted: ten round trips, of seconds where others fill the link."""
KEEPALIVE_S = 15.0
KEEPALIVES_LOST = 3
JUMPS = 8
"""More of them are a configuration that goes in a circle."""
CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""First, where the configuration names none: 1.3 times as fast as ChaCha20 on both ends here."""
PROHIBITED = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
PERMANENT = (FileNotFoundError, PermissionError, NotADirectoryError)


@dataclass
class Connected:
    connection: asyncssh.SSHClientConnection
    jumps: list[asyncssh.SSHClientConnection]
    notes: list[str] = field(default_factory=list)
    """Host keys that were taken down."""

    async def close(self) -> None:
        for connection in (self.connection, *reversed(self.jumps)):
            connection.abort()
            await connection.wait_closed()


class Connector:
    def __init__(self, device: Device) -> None:
        self.route = route_to(device)
        self._device = device
        self._notes: list[str] = []
        self._jumps: list[asyncssh.SSHClientConnection] = []

    async def open(self) -> Connected:
        """Through all jump hosts.

        Raises:
            TransientError: it does not answer, or hangs up: it may be booting.
            DeviceError: its host key is refused, or it refuses our keys.
            SpecError: the SSH configuration cannot be read.

        """
        self._notes, self._jumps = [], []
        try:
            connection = await self._hop(self.route, JUMPS)
        except BaseException:
            for jump in self._jumps:
                jump.abort()
            raise
        return Connected(connection, self._jumps, self._notes)

    async def _hop(
        self, route: Route, jumps: int, tunnel: asyncssh.SSHClientConnection | None = None
    ) -> asyncssh.SSHClientConnection:
        """One connection, through `tunnel` or what the configuration says, at most `jumps` deep."""
        options = self._options(route)
        if tunnel is None and isinstance(options.tunnel, str):
            if jumps == 0:
                raise SpecError(f"{route}: more than {JUMPS} jump hosts; does ProxyJump circle?")
            for jump in options.tunnel.split(","):
                tunnel = await self._hop(jump_of(jump, route.config), jumps - 1, tunnel)
                self._jumps.append(tunnel)
        known = _known_hosts(options)
        client = _Client(route, known, self._device.host_keys)
        try:
            connection = await client.answered(
                asyncssh.connect(
                    route.address.host,
                    options=options,
                    tunnel=tunnel,
                    known_hosts=known.keys(),
                    client_factory=lambda: client,
                    **({} if options.config.get("Ciphers") else {"encryption_algs": CIPHERS}),
                )
            )
        except asyncio.TimeoutError:
            raise client.late() from None
        except (OSError, asyncssh.Error, ValueError) as error:
            raise client.refused or _explained(error, route) from None
        self._notes += client.notes
        return connection

    def _options(self, route: Route) -> asyncssh.SSHClientConnectionOptions:
        file = self._device.ssh_config
        settings: dict[str, object] = {} if file is None else {"config": [str(file)]}
        place = route.address
        settings |= {} if place.user is None else {"username": place.user}
        settings |= {} if place.port is None else {"port": place.port}
        try:
            named = asyncssh.SSHClientConnectionOptions(
                host=place.host, client_keys=None, **settings
            ).config.get("IdentityFile")
            if isinstance(named, list):
                # As OpenSSH does, pass over those that are not there.
                keys = [name for name in named if Path(name).expanduser().is_file()]
                settings |= {"client_keys": keys, "ignore_encrypted": True}
            return asyncssh.SSHClientConnectionOptions(
                host=place.host,
                preferred_auth="publickey",
                gss_host=None,
                agent_forwarding=False,
                x11_forwarding=False,
                compression_algs=None,
                connect_timeout=LOGIN_S,
                login_timeout=LOGIN_S,
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=KEEPALIVES_LOST,
                **settings,
            )
        except OSError as error:
            raise SpecError(f"{route}: {error.filename or file}: {error.strerror}") from None
        except (ValueError, asyncssh.Error) as error:
            raise SpecError(f"{route}: the SSH configuration or a key in it: {error}") from None


class _Client(asyncssh.SSHClient):
    """Decides on a host key that is not known; asyncssh asks only then."""

    def __init__(self, route: Route, known: KnownHosts, rule: str) -> None:
        self._route = route
        self._known = known
        self._rule = rule
        self.refused: EdgecompressError | None = None
        self.notes: list[str] = []
        self._connection: asyncssh.SSHClientConnection | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    async def answered(
        self, connecting: Awaitable[asyncssh.SSHClientConnection]
    ) -> asyncssh.SSHClientConnection:
        """The connection; raises asyncio.TimeoutError early where nobody answers at all."""
        task = asyncio.ensure_future(connecting)
        try:
            await asyncio.wait({task}, timeout=CONNECT_S)
            if not task.done() and self._version() is None:
                raise asyncio.TimeoutError
            return await task
        finally:
            task.cancel()

    def late(self) -> TransientError:
        version = self._version()
        if version is None:
            return TransientError(f"{self._route}: does not answer within {CONNECT_S:g} s")
        return TransientError(
            f"{self._route}: answers ({version}), but lets nobody in within {LOGIN_S:g} s"
        )

    def _version(self) -> str | None:
        """What the server calls itself, once it has."""
        said = self._connection and self._connection.get_extra_info("server_version")
        return None if said is None else str(said)

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        known, label = self._known, self._known.label
        shown = f"{key.get_algorithm()} {key.get_fingerprint()}"
        entry = known.contradicts()
        if entry is not None:
            self.refused = DeviceError(
                f"{self._route}: its host key ({shown}) is not the one in {entry.file}, line"
                f" {entry.line}: another device at this address, or an attack; if you know why,"
                f" `ssh-keygen -f {shlex.quote(str(entry.file))} -R {shlex.quote(label)}`"
            )
        elif self._rule == "strict" or not known.files:
            files = " or ".join(map(str, known.files[:1])) or "any known_hosts"
            self.refused = DeviceError(
                f"{self._route}: its host key ({shown}) is not in {files}; compare it with the"
                f" device's own, then connect once with `{self._route.command('ssh')}`, or say"
                " host_keys: accept-new"
            )
        else:
            try:
                known.add(key)
            except EdgecompressError as error:
                self.refused = error
            else:
                self.notes.append(
                    f"{self._route}: its host key ({shown}) was not known and is now in"
                    f" {known.files[0]}"
                )
        return self.refused is None


def _known_hosts(options: asyncssh.SSHClientConnectionOptions) -> KnownHosts:
    def files(option: str, usual: tuple[str, ...]) -> list[Path]:
        named = options.config.get(option)
        names = named if isinstance(named, list) else usual
        return [Path(name).expanduser() for name in names]

    users = files("UserKnownHostsFile", USERS)
    others = files("GlobalKnownHostsFile", EVERYBODYS)
    return KnownHosts(users, others, options.host, options.port, options.host_key_alias)


def _explained(error: Exception, route: Route) -> EdgecompressError:
    """What stands in the way of a connection, in one line."""
    said = str(error) or type(error).__name__
    if isinstance(error, asyncssh.PermissionDenied):
        return DeviceError(
            f"{route}: accepts none of your keys, and passwords are not asked for: put a key there"
            f" with `{route.command('ssh-copy-id')}`, or load one into the agent with `ssh-add`"
        )
    if isinstance(error, asyncssh.ConnectionLost):
        return TransientError(f"{route}: hung up while connecting: {said}")
    if isinstance(error, asyncssh.ChannelOpenError):
        # The jump host's answer: it may not forward, or cannot reach the device.
        kind = DeviceError if error.code == PROHIBITED else TransientError
        return kind(f"{route}: not reached from its jump host: {said}")
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return DeviceError(
            f"{route}: {said}; if its host key was made anew with another algorithm, remove the old"
            " one with `ssh-keygen -R`"
        )
    if isinstance(error, socket.gaierror):
        kind = TransientError if error.errno == socket.EAI_AGAIN else DeviceError
        return kind(f"{route}: no host of that name: {error.strerror}")
    if isinstance(error, OSError) and not isinstance(error, PERMANENT):
        return TransientError(f"{route}: cannot be reached: {error.strerror or said}")
    return DeviceError(f"{route}: cannot be connected to: {said}")
