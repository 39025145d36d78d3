"""`devices/inventory.yaml`: the physical units at hand. Never a secret in here."""

import re
import sys
from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from edgecompress.spec.base import Spec

ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""Ids become names of files and folders."""


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

    @property
    def interpreter(self) -> str:
        """Python on the device."""
        return self.python or (sys.executable if self.transport == "local" else "python3")

    @field_validator("id")
    @classmethod
    def _id_is_a_file_name(cls, value: str) -> str:
        if not ID.fullmatch(value):
            raise ValueError(
                f"{value!r} must be of a-z, 0-9, '.', '_' and '-', and begin with one of a-z or 0-9"
            )
        return value

    @field_validator("address", "user", "python", "benchmark_model", "root")
    @classmethod
    def _is_no_option(cls, value: str | None) -> str | None:
        """Some of these become arguments of programs, others lines of what they read."""
        if value is not None and (not value.isprintable() or value[:1] in ("", "-", " ")):
            raise ValueError(f"{value!r} is empty, has control characters, or begins with '-'")
        return value

    @model_validator(mode="after")
    def _ssh_has_an_address(self) -> "Device":
        if self.transport == "ssh" and self.address is None:
            raise ValueError("transport ssh needs an address: a host name, or a Host of ssh_config")
        return self


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
