"""What was pushed to one device: look at it, or switch between releases."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import SpecError
from edgecompress.progress import Progress
from edgecompress.push import Board, DeviceStatus, History, Watch, history, status, switch
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_inventory
from edgecompress.spec.pushed import Pushed
from edgecompress.transport import connect


def find_device(name: str, inventory: Path | None, config: Path) -> Device:
    """The device of that id. Raises SpecError when there is none."""
    devices = load_inventory(inventory, config.parent)
    found = devices.by_id(name)
    if found is None:
        known = ", ".join(device.id for device in devices.devices)
        raise SpecError(
            f"device '{name}' is unknown; known: {known} (add it: edgecompress devices add)"
        )
    return found


def status_of(name: str, inventory: Path | None, config: Path) -> DeviceStatus:
    """What is on a device.

    Raises:
        SpecError: it is unknown.
        DeviceError: it cannot be reached.

    """
    with _board(name, inventory, config) as board:
        return status(board)


def history_of(name: str, inventory: Path | None, config: Path) -> History:
    """What was pushed and activated on a device; errors as those of `status_of`."""
    with _board(name, inventory, config) as board:
        return history(board)


@dataclass(frozen=True)
class Switch:
    """Which release is to be activated where, as the user said it."""

    device: str
    release: str | None
    """Its id; None: the previous one."""
    config: Path
    inventory: Path | None = None
    unvalidated: bool = False
    """Whether one will do that has no record of its validation there."""


def switch_on(order: Switch, progress: Progress) -> Pushed:
    """Activate a release that is there.

    Raises:
        ArtifactError: there is none such, it is damaged, or was not validated there.
        SpecError, DeviceError: as in `status_of`.

    """
    with _board(order.device, order.inventory, order.config) as board:
        watch = Watch(note=progress.note)
        return switch(board, order.release, watch, unvalidated=order.unvalidated)


@contextmanager
def _board(name: str, inventory: Path | None, config: Path) -> Iterator[Board]:
    device = find_device(name, inventory, config)
    with (
        tempfile.TemporaryDirectory(prefix="edgecompress-") as folder,
        connect(device, Path(folder)) as transport,
    ):
        yield Board(transport, device=device.id)
