"""Whether a candidate still looks at the same things as the original: what a report tells of it."""

from typing import Literal

from edgecompress.spec.base import Spec

InputKind = Literal["image", "series", "table", "tokens"]
"""[C, H, W]; [.., time]; [columns]; whole numbers."""
Map = tuple[tuple[float, ...], ...]
"""Rows of numbers; one row where the input has one dimension."""


class Shown(Spec):
    """An input, as people can see it."""

    kind: InputKind
    png_base64: str | None = None
    """An image's, at most 96 pixels a side."""
    curve: tuple[float, ...] | None = None
    """A series thinned out to at most 256 values, or a table's columns."""
    text: str | None = None
    """The first tokens."""


class Answer(Spec):
    """What one file answered."""

    name: str
    """The class's; '' where there are none."""
    confidence: float | None = None


class Exemplar(Spec):
    """A sample on which the original and the candidate differ (Hooker et al., What Do Compressed
    Deep Neural Networks Forget?, 2019).
    """

    index: int
    """In the evaluation set, from 0."""
    difference: float
    """The outputs', in units of what is usual in this set (root mean square 1)."""
    label: str
    before: Answer
    after: Answer
    shown: Shown | None


class Occlusion(Spec):
    """How much the output depends on each part of one input (Zeiler and Fergus, 2014)."""

    index: int
    label: str
    before: Map
    """The change when that part is covered; the greatest is 1."""
    after: Map
    agreement: float | None
    """Spearman's rank correlation of both maps; None where one of them is flat."""
    shown: Shown | None


class Part(Spec):
    """One channel or column, covered in all samples that were looked at."""

    name: str
    before: float
    """How much the original's output depends on it, as a share of all such parts together."""
    after: float
    """The same of the candidate's."""


class Calibration(Spec):
    """Whether answers are as often right as they are sure."""

    bins: int
    error_before: float
    """Expected calibration error (Guo et al., 2017), 0 to 1."""
    error_after: float
    low: float
    """Ends of the 90 % interval of what it rises by."""
    high: float
    wrong_before: float | None
    """Mean confidence of wrong answers; None where there are none."""
    wrong_after: float | None
    wrong_low: float | None = None
    """Lower end of the interval of what that rises by; None where there are too few."""


class Slice(Spec):
    """Samples that have something in common."""

    name: str
    """'dark', 'bright', 'low contrast', 'high contrast': a quarter of the set each."""
    samples: int
    drop: float
    """What the metric loses there."""
    low: float
    """Ends of the interval, which holds for all slices at once."""
    high: float


class OutputShift(Spec):
    """One output of a model that has no classes."""

    index: int
    spread: float
    """Standard deviation of the original's."""
    bias: float
    """Mean of the candidate's less the original's, in units of `spread`."""
    low: float
    """Ends of its 90 % interval."""
    high: float
    clipped: float
    """Share of the samples where the original goes beyond all that the candidate ever puts out."""


class Corruption(Spec):
    """The metric of both files on spoilt inputs."""

    name: str
    clean: float
    """The original's on the same inputs unspoilt, and all others of the set."""
    before: float
    """The original's."""
    after: float
    """The candidate's."""
    low: float | None
    """Ends of the interval of the drop from before to after."""
    high: float | None


class Looks(Spec):
    """What was looked at beside the metric."""

    samples: int
    """All of the evaluation set."""
    inferences: int
    """What it took of each file."""
    calibration: Calibration | None = None
    exemplars: tuple[Exemplar, ...] = ()
    occlusions: tuple[Occlusion, ...] = ()
    agreement: float | None = None
    """Median of the occlusion maps'."""
    parts: tuple[Part, ...] = ()
    slices: tuple[Slice, ...] = ()
    shifts: tuple[OutputShift, ...] = ()
    robustness: tuple[Corruption, ...] = ()
