"""Where the time of an inference goes, by the runtime's own counters."""

from typing import Annotated

from pydantic import Field

from edgecompress.spec.base import Many, Spec

Text = Annotated[str, Field(max_length=8192)]
Time = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
"""Microseconds; eleven days are the most."""


class CountedOperator(Spec):
    """One operator, as the agent tells it."""

    name: Text
    op_type: Text
    time_us: Time
    """The time in one inference: the mean of the middle half of those that were counted."""


class Counting(Spec):
    """The agent's answer to `profile`."""

    runtime: Text
    """Name and version."""
    model_sha256: Text | None = None
    """The hash of the file that ran; None where none runs on the device."""
    inferences: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    inference_us: Time | None = None
    """One inference, with its counters: the mean of the middle half."""
    operators: Many[CountedOperator] = ()
    """In order of execution."""
    why_none: Text | None = None


class OperatorTime(Spec):
    """One operator that the runtime counted, and what the inspection says of it."""

    name: str
    """As the runtime calls it."""
    op_type: str
    """As the runtime calls it: QLinearConv, Reorder."""
    time_us: float
    """The time in one inference: the mean of the middle half of those that were counted."""
    share: float
    """Part of the sum over all operators, 0..1."""
    dtype: str | None = None
    """The type it computes in; None, as all below: no operator of the inspection is known to be
    this one.
    """
    reason: str | None = None
    """Why it is not int8; None also for one that is."""
    module: str | None = None
    """Path of the torch module that it came from, where the file says."""
    macs: int | None = None


class KindTime(Spec):
    """All operators of one kind that compute in one type."""

    op_type: str
    """As the runtime calls it."""
    dtype: str | None
    """None: no operator of the inspection is known to be one of these."""
    operators: int
    time_us: float
    """All of them in one inference."""
    macs: int
    reason: str | None
    """Why the most expensive of them is not int8, where it is not."""


class Profile(Spec):
    """One file on the device that measured, in a pass of its own: counting costs time, so these
    figures are no latencies, and no latency was taken while anything was counted.
    """

    runtime: str | None = None
    """Name and version of what counted."""
    operators: tuple[OperatorTime, ...] = ()
    """The most expensive ones, the worst first."""
    kinds: tuple[KindTime, ...] = ()
    """All operators, the most expensive kind first; none in reports of an earlier edgecompress."""
    operators_in_all: int = 0
    inferences: int = 0
    """So many were counted, of the samples that the file was measured with."""
    sum_us: float | None = None
    """All operators of one inference."""
    inference_us: float | None = None
    """One inference while it was counted."""
    latency_us_p50: float | None = None
    """One inference as it was measured, without counters."""
    unattributed_us: float | None = None
    """latency_us_p50 less sum_us: copies of inputs and outputs, the runtime's own work, the call.
    Below 0 where counting costs more than all that.
    """
    found_share: float | None = None
    """Share of sum_us that belongs to operators that the inspection has too, 0..1."""
    why_none: str | None = None
    """In place of figures: what does not tell them, or what went wrong."""
