"""What a trial is to do, and what came of it."""

from typing import Literal

from edgecompress.spec.base import Spec, digest

Value = str | float | int | bool
Params = dict[str, Value]
"""A point of the space, by the names of its choices; see space.py."""

EPOCHS = (0, 2, 6)
"""Epochs of each rung but the last, which is the full training."""
FULL = len(EPOCHS)
"""The last rung."""


class Plan(Spec):
    """One recipe on one rung."""

    kind: Literal["plain", "original", "own", "drawn"]
    """Int8 without anything else; the original in float, which is measured and never shipped; as
    deploy.yaml has it; a point of the space.
    """
    target: str
    params: Params = {}
    rung: int = 0
    epochs: int = 0
    """How many are trained, in all parts of the recipe together."""

    @property
    def key(self) -> str:
        """The same for one recipe on all rungs."""
        return digest([self.kind, self.target, self.params])

    def on(self, rung: int, epochs: int) -> "Plan":
        """The same recipe on another rung."""
        return self.model_copy(update={"rung": rung, "epochs": epochs})


class Outcome(Spec):
    """What is known of a recipe on its rung."""

    metric: float
    """On the validation data."""
    exact: bool
    """Whether it is that of a file which could ship, and no proxy."""
    latency_ms_p50: float
    model_size_bytes: int
    seconds: float
    """What the trial took."""
    epoch_s: float | None = None
    """What an epoch took; None: nothing was trained."""
    read: str | None = None
    """What it had read of the task's files; see reads.py."""


State = Literal["waiting", "running", "complete", "failed", "same", "stopped", "outdated"]
"""same: another trial does, or did, the very same. stopped: the time was over. outdated: files that
the task reads have changed since.
"""


class Tried(Spec):
    """A trial, as the study has it."""

    number: int
    plan: Plan
    state: State
    outcome: Outcome | None = None
    why: str = ""
    """It failed."""
    gone: bool = False
    """Whether the process that took it is known to have ended."""
    lost: bool = False
    """It failed by no fault of its own, and whoever wants it asks for it again."""

    @property
    def counts(self) -> bool:
        """Whether its recipe is, or was, tried: not the second of two, nor what was left off."""
        return self.state not in ("same", "stopped", "outdated") and not self.lost

    @property
    def label(self) -> int:
        """Trials are counted from 1 where people read."""
        return self.number + 1
