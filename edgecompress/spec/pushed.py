"""What came of sending a model to a device: part of the report, and of `edgecompress push`."""

from typing import Literal

from edgecompress.spec.base import Spec
from edgecompress.spec.measurement import Parity

Outcome = Literal["success", "rolled_back", "inconsistent"]


class Validation(Spec):
    """The pushed file on the device against the same file here, on the same samples."""

    golden: Parity
    """On the first few samples."""
    parity: Parity
    """On all of the sample."""
    metric: str
    value: float
    """Computed from what the device put out."""
    value_here: float
    low: float | None
    """95 % interval (Wilson, 1927) of an accuracy on so many samples; None for other metrics."""
    high: float | None
    latency_ms_p50: float | None = None
    peak_rss_bytes: int | None = None
    emulated: bool = False
    """The latency says nothing about a board, and decided nothing."""


class Pushed(Spec):
    """How one push ended on one device."""

    device: str
    outcome: Outcome
    release: str
    active: str | None
    """The release that an application opens now; None: there is none, or it is not known."""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What had to be tried once more there."""
    refused: bool = False
    """The model was tried there and is not good enough; else it was the device, or the way."""
    sent_bytes: int = 0
    """How much of the model was sent; the rest was there already."""
    validation: Validation | None = None
    """None where the push did not come to its end."""
