"""What `status` prints of what a device says, which may be anything."""

import io

from rich.console import Console

from edgecompress.cli import device_tables
from edgecompress.push import DeviceStatus
from edgecompress.push.documents import Journal, Owner

SAID = "[/red] [bold]x"


def test_a_device_s_words_are_not_markup() -> None:
    found = DeviceStatus(
        device="kitchen-pi",
        current=None,
        previous=None,
        releases=(),
        journal=Journal(release=SAID, before=None, previous=None, state="activating"),
        holder=Owner(nonce="0", user=SAID, host=SAID, machine="", pid=1, renewed=0, quiet_s=1),
    )
    stream = io.StringIO()
    device_tables.status(found, Console(file=stream, width=200))
    assert stream.getvalue().splitlines() == [
        "kitchen-pi: nothing was pushed there yet",
        f"being pushed to by {SAID}@{SAID}",
        f"a push of {SAID} was left activating; the next push or rollback puts it in order",
    ]
