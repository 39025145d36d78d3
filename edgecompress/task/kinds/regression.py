"""Numbers."""

from typing import Any

from torch import Tensor
from torch.nn import functional

from edgecompress.task.base import only_tensor
from edgecompress.task.forms import Form
from edgecompress.task.kinds.one_output import OneOutput, wrong_shape
from edgecompress.task.metric import Metric
from edgecompress.task.metrics.regression import MeanAbsoluteError


class RegressionTask(OneOutput):
    """Numbers [N, values] as the model's only output; a target is floats [N, values].

    Teach a net numbers of about 1, and scale them outside of it: eight bits have 256 steps.
    """

    gives_scores = False

    huber_delta: float | None = None
    """Errors up to it count by their square, larger ones by their size; None: all by the square."""

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        answers = _alike(outputs, target)
        if self.huber_delta is None:
            return functional.mse_loss(answers, target)
        return functional.huber_loss(answers, target, delta=self.huber_delta)

    def metric(self) -> Metric:
        return MeanAbsoluteError()

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        metric.update(_alike(outputs, target), target)

    def wrong_target(self, target: Any, samples: int) -> str | None:
        return Form("targets", ("N", "values"), is_integer=False).wrong(target, samples)

    def wrong_outputs(self, outputs: Any) -> str | None:
        return wrong_shape(outputs, ("1", "values"))


def _alike(outputs: Any, target: Tensor) -> Tensor:
    """The outputs, which torch would otherwise spread over a target of another shape."""
    answers = only_tensor(outputs)
    if answers.shape != target.shape:
        raise ValueError(
            f"the model gives {list(answers.shape)} for targets of {list(target.shape)}; give"
            " targets of the same shape"
        )
    return answers
