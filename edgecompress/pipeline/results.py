"""What the stages made for one target: the model after each of them, and the files."""

from dataclasses import dataclass
from functools import cached_property

from edgecompress.pipeline.executable import Executable
from edgecompress.pipeline.files import Built, change_between
from edgecompress.pipeline.job import Point, QuantizedPoint
from edgecompress.spec.accuracy import MetricChange
from edgecompress.spec.looks import Looks
from edgecompress.spec.report import EpochRow, FloatSearch, QuantizationNoise


@dataclass(frozen=True)
class Results:
    """All that is known before a device is asked."""

    start: Point
    sparse: Point
    smaller: Point
    recovered: Point
    """The float model at its end: pruned, and fine-tuned where the recipe says so."""
    integer: QuantizedPoint | None
    """None: nothing is quantised, and `recovered` ships."""
    search: FloatSearch | None
    noise: QuantizationNoise | None
    looks: Looks
    shipped: Executable
    """The model that `candidate` is the file of."""
    baseline: Built
    candidate: Built
    halfway: Built | None
    """The file of `recovered`, where that is neither the first model nor the last."""

    @cached_property
    def change(self) -> MetricChange | None:
        """What the metric loses from the original's file to the candidate's."""
        return change_between(self.baseline, self.candidate)

    @property
    def epochs(self) -> tuple[EpochRow, ...]:
        """Every epoch once, though a stage hands on those of the stages before it."""
        points = (self.start, self.sparse, self.smaller, self.recovered)
        rows = [row for point in points for row in point.epochs]
        if self.integer is not None:
            rows += self.integer.trained.epochs
        return tuple({(row.stage, row.epoch): row for row in rows}.values())

    @property
    def quantizing_notes(self) -> tuple[str, ...]:
        """What quantising chose for the user and why."""
        return () if self.integer is None else self.integer.trained.notes

    @property
    def latency(self) -> tuple[str, ...]:
        """What pruning by latency predicted and measured."""
        found = self.smaller.latency
        return () if found is None else (found.line(),)
