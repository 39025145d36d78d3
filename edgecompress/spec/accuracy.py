"""What became of a model's answers: two files on the same samples, with intervals."""

import math
from typing import Literal

from edgecompress.spec.base import Spec

Z_ERROR = 1.6448536
"""Normal quantile of 0.95: each end of an interval is wrong in one case of 20."""
Z_POWER = 1.2815516
"""Normal quantile of 0.90: with the samples asked for, nine of ten find what is there."""
MOST_SAMPLES = 10_000_000
"""Nobody collects more, so a number beyond is as good as none."""
CHANCE_OF_NONE = 10
"""A loss of p samples in N would still show none with a chance of 1 / this, at N = ln(this) / p."""

Kept = Literal["kept", "lost", "cannot tell"]


class AnswerChange(Spec):
    """Single samples, each answered rightly or wrongly by both files."""

    changed: int | None
    """Other answers than before, also from wrong to wrong; None: only right and wrong is known."""
    right_to_wrong: int
    wrong_to_right: int
    p_value: float
    """McNemar's test, mid-p: how likely counts so unequal are where neither file is better."""


class ClassChange(Spec):
    """Samples of one class: recall before and after."""

    index: int
    name: str
    samples: int
    recall_before: float
    recall_after: float
    low: float
    """Ends of the interval of the drop in recall, corrected for the number of classes (Bonferroni):
    all intervals together are as sure as one."""
    high: float
    """As `low`."""


class Confusion(Spec):
    """Two classes, of which one is answered for the other."""

    names: tuple[str, str]
    samples: int
    """Both classes together."""
    before: int
    after: int
    low: float
    """Ends of the interval of (after - before) / samples, corrected for the number of pairs."""
    high: float


class MetricChange(Spec):
    """How much worse the metric of a candidate's file is than that of the original's."""

    method: Literal["answers", "bootstrap", "jackknife", "same", "none"]
    """answers: paired proportions. bootstrap: of samples, where the metric is their mean.
    jackknife: of groups, for any other metric. same: one file, which loses nothing. none: the set
    cannot be divided, so there is no interval."""
    drop: float
    """In the metric's own unit; below 0 it is better."""
    low: float | None
    high: float | None
    """Ends of the interval; None with method none."""
    confidence: float = 0.90
    """The interval's, two-sided: the truth is beyond either end in one case of 20."""
    samples: int
    deviation: float | None
    """Standard deviation of one sample's difference: the drop's is deviation / sqrt(N)."""
    answers: AnswerChange | None = None
    classes: tuple[ClassChange, ...] = ()
    """The greatest loss first; none where the task has no classes."""
    confusions: tuple[Confusion, ...] = ()
    """The ten that grew most."""

    def judged(self, limit: float) -> Kept:
        """Whether the metric keeps a limit of its drop: the whole interval must say so."""
        if self.low is None or self.high is None:
            return "cannot tell"
        slack = 2.0**-23 * max(abs(self.drop), abs(limit))
        if self.high <= limit + slack:
            return "kept"
        return "lost" if self.low > limit + slack else "cannot tell"

    def needed(self, limit: float) -> int | None:
        """How many samples should tell; None where no number would, or it is not known.

        From the normal approximation, N = ((z_error + z_power) s / gap)^2, where s is the deviation
        and gap the distance of the drop seen from the limit: at least half of its standard error,
        below which it is chance, and at most half of the limit, because a drop that was seen as
        none may well be that large.
        """
        if self.deviation is None or self.judged(limit) != "cannot tell":
            return None
        if limit == 0 and self.drop == 0 and not self._differs:
            return None
        gap = max(abs(limit - self.drop), self.deviation / math.sqrt(self.samples) / 2)
        if limit > 0:
            gap = min(gap, limit / 2)
        if gap <= 0:
            return None
        wanted = ((Z_ERROR + Z_POWER) * self.deviation / gap) ** 2
        if limit > 0:
            wanted = max(wanted, math.log(CHANCE_OF_NONE) / limit)
        if not wanted < MOST_SAMPLES:
            return None
        return max(math.ceil(wanted), self.samples + 1)

    @property
    def _differs(self) -> bool:
        """Whether any single answer is known to have become right or wrong."""
        answers = self.answers
        return answers is not None and answers.right_to_wrong + answers.wrong_to_right > 0
