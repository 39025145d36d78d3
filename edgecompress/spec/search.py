"""What a search for a recipe found: `runs/searches/<id>/report.json`. Keys are only ever added."""

import math
from typing import Literal

from edgecompress.spec.base import Spec


class TrialRow(Spec):
    """One trial."""

    number: int
    """From 1."""
    target: str
    what: str
    """The recipe in words: 'pruned 2x by taylor, 6 epochs, QAT'."""
    methods: tuple[str, ...]
    is_plain: bool = False
    """Int8 without anything else: what a search never ends worse than."""
    rung: Literal["proxy", "short", "full"]
    epochs: int
    state: Literal["waiting", "running", "complete", "failed", "same", "stopped", "outdated"]
    metric: float | None = None
    """On the validation data."""
    exact: bool = False
    """Whether it is that of a file which could ship, and no proxy."""
    latency_ms_p50: float | None = None
    model_size_bytes: int | None = None
    seconds: float | None = None
    on_front: bool = False
    keeps_budgets: bool = False
    """As far as a search knows: those of the metric, the latency and the size."""
    why: str = ""
    """It failed."""


class Contribution(Spec):
    """What a method gave, by the trials with it and without it; None: no such trial keeps the
    budgets.
    """

    method: str
    trials: int
    """How many of those that could ship have it."""
    with_ms: float | None
    without_ms: float | None
    """The fastest that keeps the budgets."""
    front_share: float
    """What is lost of the front's hypervolume without these trials."""


class SearchReport(Spec):
    schema_version: Literal[1] = 1
    search: str
    """Its id, the same whenever it is resumed."""
    created: str
    """ISO 8601, UTC."""
    task: str
    board: str
    device: str
    study: str
    """Where the trials are kept, without secrets."""
    seed: int
    metric: str
    is_share: bool = False
    higher_is_better: bool
    original_metric: float
    """On the validation data."""
    evaluated_metric: float | None = None
    """The original's on the evaluation data, by what was deployed; None: nothing was."""
    evaluated_samples: int = 0
    max_metric_drop: float
    trials: tuple[TrialRow, ...]
    contributions: tuple[Contribution, ...]
    best: int | None = None
    """Number of the trial whose recipe is in `recipe`; None: none could ship."""
    recipe: str | None = None
    """Path of the file to commit."""
    run: str | None = None
    """What was deployed of it; None: it was interrupted before."""
    decision: Literal["ship", "refuse", "unmeasured"] | None = None
    interrupted: bool = False
    seconds: float = 0.0
    """What all trials took, in all processes."""

    @property
    def front(self) -> tuple[TrialRow, ...]:
        """The fastest first."""
        return tuple(sorted((row for row in self.trials if row.on_front), key=latency_ms))


def latency_ms(row: TrialRow) -> float:
    """To sort by; what was never measured comes last."""
    return math.inf if row.latency_ms_p50 is None else row.latency_ms_p50
