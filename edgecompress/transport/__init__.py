"""The ways to a device: one file and one row each."""

from pathlib import Path

from edgecompress.errors import SpecError
from edgecompress.spec.device import Device
from edgecompress.transport.base import Completed, FileStat, Transport
from edgecompress.transport.local import LocalTransport

__all__ = ["TRANSPORTS", "Completed", "FileStat", "LocalTransport", "Transport", "connect"]

TRANSPORTS = {"local": LocalTransport}
"""From a device's `transport` to its class."""


def connect(device: Device, workdir: Path) -> Transport:
    """The way to this device; `workdir` is a folder here that transport `local` works in.

    Raises:
        SpecError: no such transport.

    """
    if device.transport not in TRANSPORTS:
        known = ", ".join(sorted(TRANSPORTS))
        raise SpecError(
            f"inventory.yaml: device '{device.id}': transport '{device.transport}' is unknown;"
            f" known: {known}"
        )
    return TRANSPORTS[device.transport](workdir)
