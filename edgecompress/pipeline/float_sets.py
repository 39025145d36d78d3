"""What is asked of the search for operators to keep in float, and what comes of it."""

from dataclasses import dataclass

from edgecompress.pipeline.job import Job, Point, QuantizedPoint
from edgecompress.spec.base import Spec
from edgecompress.spec.deploy import QuantizeSpec
from edgecompress.spec.report import KeptOperator


class Candidate(Spec):
    """A set of operators that keeps the metric when it stays in float."""

    label: str
    operators: tuple[str, ...]
    metric: float
    float_work: float
    """Share of the model's multiplications and elements that it computes in float."""


class Searched(Spec):
    """What the store keeps of the search, beside each candidate's weights and ranges."""

    float_metric: float
    keeps_in_int8: bool
    candidates: tuple[Candidate, ...] = ()
    costs: tuple[KeptOperator, ...] = ()
    """What each operator costs in int8; a search adds the rest of the reason."""


@dataclass(frozen=True)
class Aim:
    """A quantised model, and what may be lost of the metric of the one that it was made of."""

    job: Job
    spec: QuantizeSpec
    """The section of the recipe that `point` was made by."""
    point: QuantizedPoint
    before: Point
    max_drop: float
