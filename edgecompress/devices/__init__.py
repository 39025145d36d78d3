"""The devices at hand: the user's inventory, what is missing on a board, and boards made here."""

from collections.abc import Sequence
from pathlib import Path

from edgecompress.devices.check import check_all
from edgecompress.devices.inventory import add, check_new
from edgecompress.devices.rows import Checked
from edgecompress.devices.virtual import virtual_device
from edgecompress.errors import SpecError
from edgecompress.progress import Progress
from edgecompress.spec.health import Row
from edgecompress.spec.load import load_inventory, load_targets

__all__ = ["Checked", "Row", "add", "check_devices", "check_new", "virtual_device"]


def check_devices(
    ids: Sequence[str], inventory: Path | None, folder: Path, progress: Progress
) -> list[Checked]:
    """What is missing on each of these devices, for each target that it serves.

    Args:
        ids: of the inventory; none: all of it.
        inventory: its file; None: the user's `devices.yaml` in `folder`, and the bundled one.
        folder: that of deploy.yaml, whose own targets are known too.
        progress: told of each device.

    Raises:
        SpecError: an id or a device's target is unknown.

    """
    known = {device.id: device for device in load_inventory(inventory, folder).devices}
    for name in ids:
        if name not in known:
            raise SpecError(f"device '{name}' is unknown; known: {', '.join(known)}")
    devices = [known[name] for name in dict.fromkeys(ids or known)]
    wanted = [(one, target) for one in devices for target in load_targets(one.target, folder)]
    return check_all(wanted, progress)
