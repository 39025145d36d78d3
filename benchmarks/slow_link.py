"""Push over a slow and distant network: does it arrive, and is something told every second?

    python benchmarks/slow_link.py

A real sshd of this machine lies behind a proxy that lets so many bytes through per second, so late.
The validation sends an array, has a program read it, and fetches it back. Needs OpenSSH's server.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from loopback import SERVER_TOOLS, loopback_device, loopback_sshd, manifest_of
from throttle import Throttle, throttled

from edgecompress.devices.tools import find_tools
from edgecompress.push import Alive, Board, Manifest, PushOptions, Watch, push
from edgecompress.spec.device import Device
from edgecompress.spec.pushed import Pushed, Validation
from edgecompress.transport import Transport, connect

DEADLINE_S = 60.0
"""As in the days when it was the deadline of a whole copy."""


class Told:
    """When something was told of a transfer; the longest silence within one."""

    def __init__(self) -> None:
        self.calls = 0
        self.longest_s = 0.0
        self._at: float | None = None

    def __call__(self) -> None:
        now = time.monotonic()
        self.longest_s = max(self.longest_s, 0.0 if self._at is None else now - self._at)
        self._at, self.calls = now, self.calls + 1

    def rest(self) -> None:
        """What comes now is no transfer."""
        self._at = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=5)
    parser.add_argument("--array-megabytes", type=float, default=1)
    parser.add_argument("--bytes-per-s", type=float, default=40_000)
    parser.add_argument("--round-trip-s", type=float, default=0.3)
    arguments = parser.parse_args()
    tools = find_tools(SERVER_TOOLS, "benchmarks/slow_link.py")
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        folder = Path(name)
        model, array = folder / "model.bin", folder / "array.bin"
        model.write_bytes(os.urandom(int(arguments.megabytes * 1e6)))
        array.write_bytes(os.urandom(int(arguments.array_megabytes * 1e6)))
        with loopback_sshd(folder / "ssh", tools["sshd"]) as config:
            port = _port(config)
            with throttled(port, arguments.bytes_per_s, arguments.round_trip_s / 2) as network:
                text = config.read_text().replace(f"Port {port}", f"Port {network.port}")
                config.write_text(text)
                device = loopback_device(config, folder / "root")
                _run(device, network, model, array)


def _run(device: Device, network: Throttle, model: Path, array: Path) -> None:
    told = Told()
    started = time.monotonic()
    with connect(device, array.parent) as transport:
        connected = time.monotonic()
        pushed = _push(transport, model, manifest_of(model), array, told)
    ended = time.monotonic()
    size = model.stat().st_size + 3 * array.stat().st_size
    least_s = (model.stat().st_size + 2 * array.stat().st_size) / network.up.bytes_per_s
    least_s += array.stat().st_size / network.down.bytes_per_s
    print(
        f"{pushed.outcome}: {size / 1e6:.1f} MB at {network.up.bytes_per_s / 1e3:g} kB/s and"
        f" {2 * network.up.delay_s:g} s of round trip in {ended - started:.0f} s, of which"
        f" {connected - started:.1f} s to connect; the bytes alone take {least_s:.0f} s;"
        f" {told.calls} calls of progress, at most {told.longest_s:.2f} s apart within a transfer"
    )
    if pushed.outcome != "success":
        sys.exit("; ".join(pushed.reasons))


def _push(transport: Transport, model: Path, manifest: Manifest, array: Path, told: Told) -> Pushed:
    transport.moved = lambda *_: told()

    def validate(_: str, alive: Alive) -> Validation | None:
        """As an agent's inference goes: arrays there, a program, arrays back."""
        remote = transport.path("array.npz")
        told.rest()
        transport.put(array, remote, timeout_s=DEADLINE_S)
        told.rest()
        alive(DEADLINE_S)
        done = transport.run(["wc", "-c"], array.read_bytes(), timeout_s=DEADLINE_S)
        assert int(done.stdout) == array.stat().st_size
        told.rest()
        transport.get(remote, array.with_suffix(".back"), timeout_s=DEADLINE_S)
        assert array.with_suffix(".back").read_bytes() == array.read_bytes()
        return None

    watch = Watch(sent=lambda _: told())
    return push(Board(transport), model, manifest, validate, PushOptions(watch))


def _port(config: Path) -> int:
    words = config.read_text().split()
    return int(words[words.index("Port") + 1])


if __name__ == "__main__":
    main()
