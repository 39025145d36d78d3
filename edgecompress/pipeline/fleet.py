"""Pushes side by side: one result for each device, whatever happens to it."""

from collections.abc import Callable, Sequence

from edgecompress.defect import told_as_defect
from edgecompress.spec.device import Device
from edgecompress.spec.pushed import Pushed
from edgecompress.together import Gathered, Stop, together


def side_by_side(
    devices: Sequence[Device],
    release: str,
    push: Callable[[Device, Stop], Pushed],
    note: Callable[[str], None],
) -> Gathered[Pushed]:
    """Push to devices, a few at a time, and wait for all.

    At the first interrupt no further device is begun, and those at work turn back at their next
    step: a command that runs on a device, and what has been validated, is brought to its end. The
    second interrupt leaves everything as a kill would; the next push puts it in order.

    Args:
        devices: each gets a result.
        release: that is pushed.
        push: to one device, in a thread of its own.
        note: a line for the user.

    Raises:
        KeyboardInterrupt: the second one.

    """

    def otherwise(device: Device, error: BaseException | None) -> Pushed:
        return (
            not_begun(device.id, release) if error is None else unknown(device.id, release, error)
        )

    return together(
        devices,
        push,
        otherwise,
        lambda: note(
            "interrupted: devices at work turn back at their next step; once more leaves them"
        ),
    )


def not_begun(device: str, release: str) -> Pushed:
    reasons = ("interrupted before it was begun",)
    return Pushed(
        device=device, outcome="rolled_back", release=release, active=None, reasons=reasons
    )


def unknown(device: str, release: str, error: BaseException) -> Pushed:
    """After an exception that nobody meant, how far the push came is not known."""
    look = f"what is active there: edgecompress status {device}"
    return Pushed(
        device=device,
        outcome="inconsistent",
        release=release,
        active=None,
        reasons=(f"{told_as_defect(error)}; {look}",),
    )
