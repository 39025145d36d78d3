"""`devices/inventory.yaml`: the physical units at hand. Never a secret in here."""

from typing import Literal

from pydantic import model_validator

from edgecompress.spec.base import Spec


class Device(Spec):
    id: str
    target: str
    transport: Literal["local"]
    python: str | None = None
    """Interpreter on the device that runs the agent; None: the one running now (local only)."""
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

    def for_target(self, target: str) -> Device | None:
        """The first device of that target, or None when none is at hand."""
        return next((device for device in self.devices if device.target == target), None)
