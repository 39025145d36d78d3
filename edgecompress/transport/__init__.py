"""The ways to a device: one file and one row each."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from edgecompress.errors import RuntimeMissing
from edgecompress.spec.device import Device
from edgecompress.transport.adb import ROOT as ANDROID_ROOT
from edgecompress.transport.adb import AdbTransport
from edgecompress.transport.base import Completed, FileStat, Transport
from edgecompress.transport.files import Files
from edgecompress.transport.local import LocalTransport

__all__ = [
    "TRANSPORTS",
    "AdbTransport",
    "Completed",
    "FileStat",
    "Files",
    "LocalTransport",
    "Transport",
    "connect",
]


def _local(device: Device, workdir: Path) -> Transport:
    pushed = Path(device.root) if device.root else Path.home() / ".edgecompress" / device.id
    return LocalTransport(workdir, pushed)


def _adb(device: Device, _workdir: Path) -> Transport:
    return AdbTransport(device.address, device.root or ANDROID_ROOT)


def _ssh(device: Device, _workdir: Path) -> Transport:
    if find_spec("asyncssh") is None:
        raise RuntimeMissing(
            f"device '{device.id}': transport ssh needs a package here: pip install"
            " 'edgecompress[ssh]'"
        )
    from edgecompress.transport.ssh import SshTransport

    return SshTransport(device)


TRANSPORTS: dict[str, Callable[[Device, Path], Transport]] = {
    "adb": _adb,
    "local": _local,
    "ssh": _ssh,
}
"""From a device's `transport` to what opens it; a library that one needs is imported inside."""


def connect(device: Device, workdir: Path) -> Transport:
    """The way to this device; `workdir` is a folder here that transport `local` works in.

    Raises:
        DeviceError: it cannot be reached, or is not the device that it was.

    """
    return TRANSPORTS[device.transport](device, workdir)
