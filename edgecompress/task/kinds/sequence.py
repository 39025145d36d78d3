"""A class for each sequence of tokens, or for each token."""

from abc import abstractmethod
from typing import Any

from torch import Tensor

from edgecompress.task.base import only_tensor, softened_divergence
from edgecompress.task.forms import Form
from edgecompress.task.kinds.one_output import OneOutput, cross_entropy, wrong_shape
from edgecompress.task.labels import out_of_range
from edgecompress.task.metric import Metric
from edgecompress.task.metrics.sequence import LabelAccuracy

_OF_SEQUENCES = Form("labels", ("N",), is_integer=True)
_OF_TOKENS = Form("labels", ("N", "L"), is_integer=True)


class SequenceTask(OneOutput):
    """Inputs are token ids [N, L] int64, and a mask [N, L] where the model takes one. Class scores
    [N, classes] of sequences, with labels [N], or [N, L, classes] of tokens, with labels [N, L].
    """

    ignore_index = -100
    """The label of tokens, such as padding, that count neither in the loss nor in the metric."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes; labels are 0 .. classes - 1, and `ignore_index`."""

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        # torch has the classes second.
        scores = only_tensor(outputs).movedim(-1, 1)
        return cross_entropy(scores, target, self.ignore_index)

    def metric(self) -> Metric:
        """Accuracy; `edgecompress.task.MacroF1Score(classes, ignore_index)` where classes are of
        different sizes.
        """
        return LabelAccuracy(self.ignore_index)

    def distillation_loss(self, student: Any, teacher: Any, temperature: float) -> Tensor:
        """Kullback-Leibler divergence of softened scores, times T^2; its mean over sequences, or
        over tokens, padding included, because a teacher does not tell which that is.
        """
        pair = only_tensor(student), only_tensor(teacher)
        return softened_divergence(*pair, temperature, dim=-1)

    def wrong_target(self, target: Any, samples: int) -> str | None:
        of_tokens = isinstance(target, Tensor) and target.ndim > 1
        form = _OF_TOKENS if of_tokens else _OF_SEQUENCES
        fault = form.wrong(target, samples)
        return fault if fault is not None else out_of_range(target, self.classes, self.ignore_index)

    def wrong_outputs(self, outputs: Any) -> str | None:
        classes = str(self.classes)
        return wrong_shape(outputs, ("1", classes), ("1", "L", classes))
