"""`devices/inventory.yaml`: the physical units at hand. Never a secret in here."""

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from edgecompress.spec.base import Spec


class Device(Spec):
    id: str
    target: str
    transport: Literal["local", "ssh", "adb"]
    address: str | None = None
    """Of `ssh`: a host name, or a Host of the SSH configuration. Of `adb`: the serial number that
    `adb devices` prints, or HOST:PORT; None: the only one that is connected."""
    user: str | None = None
    port: int | None = None
    ssh_config: Path | None = None
    """None: the user's own, ~/.ssh/config."""
    host_keys: Literal["strict", "accept-new"] = "strict"
    """Whether an SSH host that known_hosts lacks is refused, or taken down there."""
    python: str | None = None
    """Interpreter on the device that runs the agent; None: python3, or, of `local`, the one
    running now."""
    benchmark_model: str | None = None
    """Path of TFLite's tool on an Android device, or of a copy here, which is sent."""
    root: str | None = None
    """Folder on the device for what is pushed; None: ~/.edgecompress, or on Android
    /data/local/tmp/edgecompress."""
    emulated: bool = False
    """Its latencies say nothing about a board, and decide nothing."""
    tags: tuple[str, ...] = ()


class Inventory(Spec):
    devices: tuple[Device, ...]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Inventory":
        ids = [device.id for device in self.devices]
        for device_id in ids:
            if ids.count(device_id) > 1:
                raise ValueError(f"devices: id '{device_id}' is used twice")
        return self

    def by_id(self, device_id: str) -> Device | None:
        return next((device for device in self.devices if device.id == device_id), None)

    def for_target(self, target: str) -> Device | None:
        """The first device of that target, or None when none is at hand."""
        return next((device for device in self.devices if device.target == target), None)
