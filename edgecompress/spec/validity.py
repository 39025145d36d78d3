"""Whether a latency can be believed: what befell the process, and what follows from it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from edgecompress.spec.base import Spec
from edgecompress.spec.figure import Figure

FindingKind = Literal[
    "count",
    "duration",
    "warmup",
    "stopped",
    "suspended",
    "idle",
    "waiting",
    "stolen",
    "other_load",
    "load",
    "quota",
    "fewer_cores",
    "throttled",
    "clock",
    "processor",
    "drift",
    "outliers",
    "page_faults",
    "swapping",
    "cold_cache",
    "late",
    "turns",
    "turns_differ",
]
"""What may make a latency wrong, for those who read report.json."""


class Conditions(Spec):
    """What befell the agent's process for a while; None where the system does not say."""

    model_config = ConfigDict(allow_inf_nan=False)

    wall_s: Annotated[float, Field(ge=0)]
    cpu_s: float
    """CPU time of the process, all threads."""
    slept_s: float = 0.0
    """Asleep because the protocol asks for it."""
    waited_s: float | None
    """Ready to run and not running: that of the thread that waited longest."""
    others_s: float | None
    """CPU time of everything else, on the cores that the process may use."""
    stolen_s: float | None
    """What a hypervisor took from those cores."""
    cores: int
    """That the process may use."""
    quota_cores: float | None
    """CPU time per time that its control group may use; None: as much as there is."""
    quota_s: float | None
    """How long that quota held it back."""
    switches: int | None
    """Involuntary context switches."""
    major_faults: int | None
    """Page faults that were read from a disk."""
    read_bytes: int | None
    """Read from disks."""
    swapped_pages: int | None
    """In and out, of the whole machine."""
    throttles: int | None = None
    """How often the CPU slowed itself down by heat, where it counts that (x86)."""
    stops: int | None
    """How often the process was continued after a stop, since it began to load the file: a stop in
    the warm-up, between two of these, counts too.
    """
    suspended_s: float | None
    """How long the whole machine slept."""
    clock_mhz_first: float | None
    """The fastest core's, as it began."""
    clock_mhz_last: float | None
    spin_us_first: Annotated[float, Field(gt=0)] | None = None
    """What one small loop of additions took as it began: how fast the processor itself is, where no
    clock tells."""
    spin_us_last: Annotated[float, Field(gt=0)] | None = None


class Finding(Spec):
    """One thing that casts doubt on a measurement."""

    kind: FindingKind
    text: str
    """A sentence for people, with the figures and their limits."""
    remedy: str
    """What to do about it."""
    figures: tuple[Figure, ...] = ()


class Validity(Spec):
    """Whether a measurement may decide anything."""

    valid: bool
    """Exactly when there are no reasons against it."""
    unsteady: Finding | None = None
    """The state changed as it ran, so that its milliseconds are held against no budget. Where files
    ran side by side, how much faster one is than another stands all the same. One of the flags.
    """
    reasons: tuple[Finding, ...] = ()
    """What makes it invalid, the weightiest first."""
    flags: tuple[Finding, ...] = ()
    """What is to be said, and leaves it valid."""


class QuantileInterval(Spec):
    """A percentile of the latency, and the 95 % bootstrap interval around it."""

    percent: Annotated[float, Field(ge=0, le=100)]
    latency_ms: float
    low_ms: float
    high_ms: float
