"""Files that were measured in turns, in one run on one device."""

from typing import Literal

from edgecompress.spec.base import Spec
from edgecompress.spec.measurement import Measurement
from edgecompress.spec.probe import Probe
from edgecompress.spec.protocol import AnyProtocol
from edgecompress.spec.validity import Finding

RivalKind = Literal["best float", "last shipped"]
"""The fastest float original of any of the board's runtimes; what shipped before."""


class RivalResult(Spec):
    """What was measured beside baseline and candidate, in the same turns."""

    kind: RivalKind
    name: str
    target: str
    measurement: Measurement
    speedup: float
    """Its p50 / the candidate's."""
    speedup_low: float
    speedup_high: float
    """95 % interval of that."""


class Comparison(Spec):
    """Baseline and candidate, measured in turns in one run on one device."""

    device: str
    probe: Probe
    emulated: bool
    baseline: Measurement
    candidate: Measurement
    speedup: float
    """Baseline p50 / candidate p50; by the protocol 'throughput' the samples per second of the
    candidate over those of the baseline.
    """
    speedup_low: float
    """Lower end of the 95 % interval of speedup, from how much the turns differ."""
    speedup_high: float
    protocol: AnyProtocol | None = None
    """How both were measured; None: by an earlier release."""
    rivals: tuple[RivalResult, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether both are known to be."""
        sides = (each.validity for each in (self.baseline, self.candidate, *self._others))
        return all(side is not None and side.valid for side in sides)

    @property
    def _others(self) -> tuple[Measurement, ...]:
        return tuple(rival.measurement for rival in self.rivals)

    @property
    def against(self) -> Finding | None:
        """The weightiest reason why it decides nothing."""
        sides = (each.validity for each in (self.candidate, self.baseline, *self._others))
        reasons = (reason for side in sides if side is not None for reason in side.reasons)
        return next(reasons, None)
