"""What a Trainer's compute_metrics gives, as one metric."""

import math
import sys
from typing import Any

import torch
from torch import Tensor

from edgecompress.errors import TaskError
from edgecompress.task.guard import user_code

_SHARES = ("accuracy", "f1", "precision", "recall")
"""What compute_metrics often gives, the more telling first."""
_LOWER = ("loss", "mse", "mae", "rmse", "error", "wer", "cer", "perplexity")
_WAY = "metric_for_best_model and greater_is_better of TrainingArguments, or metric="


class Computed:
    """A number of those that compute_metrics gives, of all samples at once. Its subclasses say
    which, and are called like it.
    """

    higher_is_better: bool | None = None
    key = ""

    def __init__(self, trainer: Any) -> None:
        self._compute = trainer.compute_metrics
        self._before = trainer.preprocess_logits_for_metrics
        self._logits: list[Any] = []
        self._labels: list[Any] = []

    def reset(self) -> None:
        """Forget all samples."""
        self._logits, self._labels = [], []

    def update(self, logits: Tensor, labels: Any) -> None:
        """Add logits [N, ...] and labels [N, ...]."""
        kept = logits if self._before is None else self._before(logits, labels)
        self._logits.append(kept.detach())
        self._labels.append(labels)

    def all(self) -> dict[str, Any]:
        """Whatever compute_metrics gives for the samples so far."""
        # Its library is there: a Trainer came from it.
        prediction = sys.modules["transformers"].EvalPrediction
        logits, labels = torch.cat(self._logits), torch.cat(self._labels)
        found: dict[str, Any] = self._compute(prediction(logits.numpy(), labels.numpy()))
        return {str(key).removeprefix("eval_"): value for key, value in found.items()}

    def compute(self) -> float:
        """The number of that name; NaN when there was no sample."""
        return float(self.all()[self.key]) if self._logits else math.nan


def computed(trainer: Any, logits: Tensor, labels: Any) -> Computed:
    """The metric that counts, found by what compute_metrics gives for a batch.

    Raises:
        TaskError: it does not say which counts, or which way is better.

    """
    trial = Computed(trainer)
    with user_code("metric: the Trainer's compute_metrics"):
        trial.update(logits, labels)
        found = trial.all()
    key = _key(trainer, found)
    higher = key in _SHARES or (None if not key.endswith(_LOWER) else False)
    if _wanted(trainer) == key and trainer.args.greater_is_better is not None:
        higher = trainer.args.greater_is_better
    if higher is None:
        raise TaskError(f"metric: whether more of '{key}' is better is not said; set {_WAY}")
    is_share = key in _SHARES and 0 <= float(found[key]) <= 1
    members = {"key": key, "higher_is_better": higher, "is_share": is_share}
    # Reports call a metric as its class is called.
    kind: type[Computed] = type(key, (Computed,), members)
    return kind(trainer)


def _key(trainer: Any, found: dict[str, Any]) -> str:
    wanted = _wanted(trainer)
    if wanted in found:
        return wanted
    if len(found) == 1:
        return next(iter(found))
    for key in _SHARES:
        if key in found:
            return key
    raise TaskError(f"metric: which of {', '.join(found)} counts is not said; set {_WAY}")


def _wanted(trainer: Any) -> str:
    return str(trainer.args.metric_for_best_model).removeprefix("eval_")
