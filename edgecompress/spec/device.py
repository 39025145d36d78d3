"""`devices/inventory.yaml`: the physical units at hand. Never a secret in here."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from edgecompress.spec.address import (
    LAST_PORT,
    Address,
    agreed,
    check_user,
    parse_address,
    parse_serial,
)
from edgecompress.spec.base import Spec

if TYPE_CHECKING:
    from edgecompress.spec.target import Target

ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""Ids become names of files and folders."""


class Device(Spec):
    id: str
    target: str
    """A target's name, or a board's: then it serves all the targets of that board."""
    transport: Literal["local", "ssh", "adb"]
    address: str | None = None
    """With `ssh` a host name, an IP address, or a Host of the SSH configuration; a user and a port
    written with it are those of `user` and `port`. With `adb` the serial number that `adb devices`
    prints, or HOST:PORT; None: the only one that is connected."""
    user: str | None = None
    port: int | None = Field(default=None, ge=1, le=LAST_PORT)
    ssh_config: Path | None = None
    """None: the user's own, ~/.ssh/config."""
    host_keys: Literal["strict", "accept-new"] = "strict"
    """Whether an SSH host that known_hosts lacks is refused, or taken down there."""
    python: str | None = None
    """Interpreter on the device that runs the agent; None: python3, or, of `local`, the one
    running now."""
    tool: str | None = None
    """Path of what runs files on an Android device, such as TFLite's benchmark_model; or of a copy
    here, which is sent. Older inventories call it `benchmark_model`."""
    root: str | None = None
    """Folder on the device for what is pushed; None: ~/.edgecompress, or on Android
    /data/local/tmp/edgecompress."""
    emulated: bool = False
    """Its latencies say nothing about a board, and decide nothing."""
    tags: tuple[str, ...] = ()

    def serves(self, target: "Target") -> bool:
        """Whether it runs what is made for a target: it is of that one, or of its board."""
        return self.target in (target.name, target.board)

    @property
    def interpreter(self) -> str:
        """Python on the device."""
        return self.python or (sys.executable if self.transport == "local" else "python3")

    @property
    def place(self) -> Address | None:
        """Where SSH finds it; None: of another transport."""
        if self.transport != "ssh" or self.address is None:
            return None
        return Address(self.address, self.user, self.port)

    @model_validator(mode="before")
    @classmethod
    def _address_is_split(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        # Behind a validator it is JSON no longer, whose lists are taken for tuples.
        plain = {key: tuple(one) if isinstance(one, list) else one for key, one in data.items()}
        if "benchmark_model" in plain:
            plain.setdefault("tool", plain.pop("benchmark_model"))
        transport = plain.get("transport")
        split = _SPLIT.get(transport) if isinstance(transport, str) else None
        return plain if split is None else {**plain, **split(plain)}

    @field_validator("id")
    @classmethod
    def _id_is_a_file_name(cls, value: str) -> str:
        if not ID.fullmatch(value):
            raise ValueError(
                f"{value!r} must be of a-z, 0-9, '.', '_' and '-', and begin with one of a-z or 0-9"
            )
        return value

    @field_validator("address", "user", "python", "tool", "root")
    @classmethod
    def _is_no_option(cls, value: str | None) -> str | None:
        """Some of these become arguments of programs, others lines of what they read."""
        if value is not None and (not value.isprintable() or value[:1] in ("", "-", " ")):
            raise ValueError(f"{value!r} is empty, has control characters, or begins with '-'")
        return value

    @field_validator("user")
    @classmethod
    def _is_a_user(cls, value: str | None) -> str | None:
        if value is not None:
            check_user(value)
        return value

    @model_validator(mode="after")
    def _ssh_has_an_address(self) -> "Device":
        if self.transport == "ssh" and self.address is None:
            raise ValueError("transport ssh needs an address: a host name, or a Host of ssh_config")
        return self


def _split_ssh(given: dict[str, Any]) -> dict[str, Any]:
    """`pi@host:22` is a user, a host and a port, as if they had been given apart."""
    address = given.get("address")
    if not isinstance(address, str):
        return {}
    found = parse_address(address)
    user = agreed("user", found.user, given.get("user"), address)
    port = agreed("port", found.port, given.get("port"), address)
    return {"address": found.host, "user": user, "port": port}


def _split_adb(given: dict[str, Any]) -> dict[str, Any]:
    address, port = given.get("address"), given.get("port")
    if given.get("user") is not None:
        raise ValueError("transport adb has no `user`; leave it out")
    if not isinstance(address, str):
        if port is not None:
            raise ValueError(
                "transport adb has no `port` without an address; write HOST:PORT there"
            )
        return {}
    if port is not None and (type(port) is not int or not 1 <= port <= LAST_PORT):
        return {}  # Refused by what the field says of itself.
    return {"address": parse_serial(address, port), "port": None}


def _split_local(given: dict[str, Any]) -> dict[str, Any]:
    surplus = [key for key in ("address", "user", "port") if given.get(key) is not None]
    if surplus:
        raise ValueError(f"transport local is this machine and has no `{surplus[0]}`; leave it out")
    return {}


_SPLIT = {"adb": _split_adb, "local": _split_local, "ssh": _split_ssh}


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

    def for_target(self, target: "Target") -> Device | None:
        """The first device of that target or of its board, or None when none is at hand."""
        return next((device for device in self.devices if device.serves(target)), None)
