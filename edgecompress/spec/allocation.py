"""What pruning by latency came to."""

from edgecompress.spec.base import Spec

ROUGH = 0.03
"""Where the fastest rounds differ by more, layers are told apart badly."""


class LatencyAllocation(Spec):
    """What `prune.allocation: latency` predicted, and what the file then took on the device.

    All figures are of one sweep (`measure/latency_table.py`): they say how latencies relate, and
    the report's own latencies are measured apart from them.
    """

    device: str
    runtime: str
    """Name and version on the device."""
    asked: float
    """How many times lower the latency had to be."""
    original_ms: float
    """Measured: the model as it was before, in the form in which it ships."""
    predicted_ms: float
    """What the table said, before that file was made."""
    measured_ms: float
    """The same model, not fine-tuned."""
    points: int
    """Latencies of layers that the table has for this model."""
    measured_now: int
    """Those of them that no earlier run had measured."""
    seconds: float
    """What making and measuring all files took."""
    spread: float
    """Median over the files: how much longer than its fastest round the second fastest took."""

    def line(self) -> str:
        """For people."""
        return (
            f"allocation latency on {self.device} ({self.runtime}): {self.original_ms:.3f} ms,"
            f" predicted {self.predicted_ms:.3f} ms, measured {self.measured_ms:.3f} ms"
            f" ({self.original_ms / self.measured_ms:.2f} times faster, asked {self.asked:g}); a"
            f" table of {self.points} layer latencies, {self.measured_now} of them measured now, in"
            f" {self.seconds:.0f} s; the fastest rounds differ by {self.spread:.1%}{self._doubt}"
        )

    @property
    def _doubt(self) -> str:
        busy = self.spread > ROUGH
        return ", so that all this is rough: end what else runs there" if busy else ""
