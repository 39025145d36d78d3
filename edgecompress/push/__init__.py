"""A model's way onto a device, as safe as an over-the-air update: docs/devices.md."""

from edgecompress.push.board import Board, retried
from edgecompress.push.documents import DeviceStatus, History, Manifest, ReleaseState
from edgecompress.push.layout import make_folders
from edgecompress.push.lock import held
from edgecompress.push.session import Watch
from edgecompress.push.status import history, status
from edgecompress.push.transaction import Alive, Origin, PushOptions, Validate, push, switch
from edgecompress.spec.pushed import Pushed

__all__ = [
    "Alive",
    "Board",
    "DeviceStatus",
    "History",
    "Manifest",
    "Origin",
    "PushOptions",
    "Pushed",
    "ReleaseState",
    "Validate",
    "Watch",
    "held",
    "history",
    "make_folders",
    "push",
    "retried",
    "status",
    "switch",
]
