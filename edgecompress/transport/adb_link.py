"""One Android device, by the adb server of this machine: found, and streams to its services.

The server is asked for a service by its length in four hexadecimal digits and its name, and answers
OKAY, or FAIL with a text (packages/modules/adb, SERVICES.TXT). adbutils finds the server and starts
it; what it says is read here, because adbutils has a deadline for each byte only.
"""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TypeVar

from edgecompress.errors import DeviceError, RuntimeMissing, TransientError
from edgecompress.spec.address import is_network
from edgecompress.transport.motion import Motion, Told, nobody

T = TypeVar("T")
CONNECT_S = 15.0
"""For what needs the server, or the radio, but no work of the device."""
NOTICED_S, AGAIN_S = 5.0, 0.1
"""Within which the server notices that it lost a device, and how often it is asked."""
ABSENT = (None, "offline")
"""States of a device that `adb connect` may bring back; None: it is not listed."""
OKAY, FAIL = b"OKAY", b"FAIL"
LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
INSTALL_ADB = (
    "install Android's platform tools (`apt install adb`, or"
    " https://developer.android.com/tools/releases/platform-tools)"
)
ALLOW = "unlock it and allow USB debugging for this computer"
START = "start Android on it"
ADVICE = {
    "unauthorized": ALLOW,
    "authorizing": ALLOW,
    "offline": "unplug it and plug it in again, or run `adb reconnect`",
    "no": "this user has no permission to open it: `apt install"
    " android-sdk-platform-tools-common` and plug it in again",
    "recovery": START,
    "bootloader": START,
    "sideload": START,
}
"""What to do, by the first word of the state that `adb devices` prints."""


class Declined(Exception):
    """What the server says of a service that it does not give."""


class Stream:
    """A connection to a service of the device."""

    def __init__(self, connection: socket.socket, link: "AdbLink", motion: Motion) -> None:
        """`motion`: of what its user counts; all that the stream does is late by it."""
        self.socket = connection
        self.motion = motion
        self._link = link

    def lost(self) -> TransientError:
        return self._link.lost("it ended")

    def request(self, service: str) -> None:
        """Ask the server for a service of it or of the device; raises Declined."""
        name = service.encode("utf-8", "surrogateescape")
        self.write(f"{len(name):04x}".encode() + name)
        word = self.read(len(OKAY))
        if word == FAIL:
            raise Declined(self.text())
        if word != OKAY:
            raise self._nonsense(word)

    def text(self) -> str:
        """What comes behind its length."""
        length = self.read(4)
        if LENGTH.fullmatch(length) is None:
            raise self._nonsense(length)
        return self.read(int(length, 16)).decode(errors="replace")

    def _nonsense(self, word: bytes) -> DeviceError:
        return DeviceError(f"{self._link.name}: the adb server answers {word!r}; what is it?")

    def read(self, count: int) -> bytes:
        """Exactly that many bytes."""
        content = bytearray()
        while len(content) < count:
            chunk = self._while_waiting(partial(self.socket.recv, count - len(content)))
            if not chunk:
                raise self.lost()
            content += chunk
        return bytes(content)

    def write(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[self._while_waiting(partial(self.socket.send, left)) :]

    def _while_waiting(self, step: Callable[[], T]) -> T:
        """The step, once the other side lets it be done; raises TimedOut."""
        while True:
            self.socket.settimeout(self.motion.wait_s())
            try:
                return step()
            except TimeoutError:
                self.motion.tick()
            except OSError:
                raise self.lost() from None

    def close(self) -> None:
        self.socket.close()


class AdbLink:
    """Finds the device at once, and again after it was lost."""

    def __init__(self, address: str | None) -> None:
        """`address`: serial number or HOST:PORT; None: the only device that is connected.

        Raises:
            RuntimeMissing: adbutils or adb is not installed here.
            DeviceError: there is no such device, or it is not ready.

        """
        self._adbutils = _adbutils()
        self._client = self._adbutils.AdbClient()
        self.serial = address or ""
        self._was_ready = False
        self._is_ready = False
        self._find()

    @property
    def name(self) -> str:
        return f"Android device {self.serial}"

    def open(self, service: str, timeout_s: float, told: Told = nobody) -> Stream:
        """A stream to a service, such as 'sync:'.

        Args:
            service: its name.
            timeout_s: for all that is done with it, from when some of what is counted moved last.
            told: of what is counted.

        Raises:
            TransientError: the device is gone; the next call looks for it again.
            TimedOut: it does not answer.
            DeviceError: it is not ready, and somebody must do something about it.

        """
        if not self._is_ready:
            self._find()
        try:
            stream = self._served((f"host:transport:{self.serial}", service), timeout_s)
        except self._failures() as error:
            raise self._explained(error) from None
        stream.motion = self._motion(timeout_s, told)
        return stream

    def _motion(self, timeout_s: float, told: Told = nobody) -> Motion:
        return Motion(timeout_s, f"{self.name}: no answer within {timeout_s:g} s", told)

    def _served(self, services: tuple[str, ...], timeout_s: float) -> Stream:
        """A connection on which the server gave one after the other; raises _failures() too."""
        patience_s = min(timeout_s, CONNECT_S)
        try:
            connection = self._client.make_connection(timeout=patience_s).conn
        except self._adbutils.AdbTimeout:
            raise self._motion(patience_s).late() from None
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            stream = Stream(connection, self, self._motion(patience_s))
            for service in services:
                stream.request(service)
            stack.pop_all()
        return stream

    def _said(self, service: str) -> str:
        """The text that the server answers."""
        stream = self._served((service,), CONNECT_S)
        try:
            return stream.text()
        finally:
            stream.close()

    def lost(self, why: object) -> TransientError:
        """The next call looks for the device again."""
        self._is_ready = False
        return TransientError(f"{self.name}: the connection was lost: {why}")

    def _find(self) -> None:
        try:
            state, said = self._state()
            if state != "device":
                raise self._not_ready(state, said)
            features = self._said(f"host-serial:{self.serial}:features")
        except self._failures() as error:
            raise self._explained(error) from None
        if "shell_v2" not in features.split(","):
            raise DeviceError(
                f"{self.name}: its shell tells no exit codes; Android 8 or later is needed"
            )
        self._is_ready = self._was_ready = True

    def _state(self) -> tuple[str | None, str]:
        """As `adb devices` prints it, None when it is not listed; and what `adb connect` said."""
        states = self._states()
        if not self.serial:
            self.serial = _only(states)
        state = states.get(self.serial)
        if not is_network(self.serial) or state not in ABSENT:
            return state, ""
        return self._connected(state)

    def _connected(self, state: str | None) -> tuple[str | None, str]:
        """The state of a device of the network after `adb connect`, and what that said.

        The server notices late that it lost a device. Until then it says that it is connected
        already, in whichever state it is listed, so it is told to forget it and is asked again.
        """
        until = time.monotonic() + NOTICED_S
        is_kept = state is not None
        while True:
            if is_kept:
                with contextlib.suppress(Declined):
                    self._said(f"host:disconnect:{self.serial}")
            said = self._said(f"host:connect:{self.serial}")
            state = self._states().get(self.serial)
            is_kept = state in ABSENT and "already connected" in said
            if not is_kept or time.monotonic() > until:
                return state, said
            time.sleep(AGAIN_S)

    def _states(self) -> dict[str, str]:
        lines = (line.partition("\t") for line in self._said("host:devices").splitlines())
        return {serial: state for serial, tab, state in lines if tab}

    def _not_ready(self, state: str | None, said: str) -> DeviceError:
        if self._was_ready and state in ABSENT:
            return self.lost(said or "it is not connected any more")
        if state is None:
            others = ", ".join(self._states()) or "none"
            return DeviceError(
                f"{self.name}: {said or 'is not connected'}; adb sees these devices: {others}"
            )
        advice = ADVICE.get(state, "see https://developer.android.com/tools/adb")
        return DeviceError(f"{self.name}: is in the state '{state}'; {advice}")

    def _failures(self) -> tuple[type[Exception], ...]:
        """What the server declines, and what adbutils lets out."""
        return (Declined, self._adbutils.AdbError, OSError, subprocess.SubprocessError)

    def _explained(self, error: Exception) -> DeviceError:
        if isinstance(error, FileNotFoundError | PermissionError) or "No adb exe" in str(error):
            return RuntimeMissing(f"adb is not installed here; {INSTALL_ADB}")
        if self._was_ready:
            return self.lost(error)
        if isinstance(error, self._adbutils.errors.AdbConnectionError | OSError):
            where = f"{self._client.host}:{self._client.port}"
            return DeviceError(
                f"the adb server at {where} does not answer ({error}); run `adb start-server`,"
                f" and if that fails {INSTALL_ADB}"
            )
        return DeviceError(f"{self.name}: {error}; run `adb devices` and see its state")


def _adbutils() -> ModuleType:
    try:
        import adbutils
        import adbutils.errors
    except ImportError as error:
        raise RuntimeMissing(
            f"transport adb: {error}; run: pip install 'edgecompress[adb]'"
        ) from None
    module: ModuleType = adbutils
    return module


def _only(states: dict[str, str]) -> str:
    if len(states) == 1:
        return next(iter(states))
    if not states:
        raise DeviceError(
            "no Android device is connected; plug it in, allow USB debugging in its developer"
            " options, and look for it with `adb devices`"
        )
    listed = ", ".join(f"{serial} ({state})" for serial, state in states.items())
    raise DeviceError(
        f"several Android devices are connected: {listed}; name one as the address of the device"
        " in the inventory"
    )
