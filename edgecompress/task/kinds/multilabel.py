"""Any number of labels per sample."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgecompress.task.base import only_tensor
from edgecompress.task.forms import Form
from edgecompress.task.kinds.one_output import OneOutput, wrong_shape
from edgecompress.task.metric import Metric
from edgecompress.task.metrics.multilabel import MultilabelF1Score


class MultiLabelTask(OneOutput):
    """Logits [N, classes] as the model's only output; a target is 0 or 1 [N, classes]."""

    gives_scores = False

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of labels that a sample may have."""

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(only_tensor(outputs), target.float())

    def metric(self) -> Metric:
        return MultilabelF1Score(self.classes)

    def distillation_loss(self, student: Any, teacher: Any, temperature: float) -> Tensor:
        """Kullback-Leibler divergence of each label's softened probability, times T^2; their sum
        over labels, as mean over samples.
        """
        ours, theirs = only_tensor(student) / temperature, only_tensor(teacher) / temperature
        likely = theirs.sigmoid()
        apart = functional.binary_cross_entropy_with_logits(ours, likely, reduction="sum")
        least = functional.binary_cross_entropy_with_logits(theirs, likely, reduction="sum")
        return (apart - least) / len(ours) * temperature**2

    def wrong_target(self, target: Any, samples: int) -> str | None:
        form = Form("targets", ("N", str(self.classes)), is_integer=False)
        is_integer = isinstance(target, Tensor) and not target.is_floating_point()
        fault = form.wrong(target.float() if is_integer else target, samples)
        if fault is not None:
            is_index = is_integer and target.ndim == 1 and len(target) == samples
            way = f"; give functional.one_hot(target, {self.classes})"
            return f"{fault}{way}" if is_index else fault
        wrong = target[(target != 0) & (target != 1)] if target.dtype != torch.bool else target[:0]
        if len(wrong):
            return f"targets must be 0 or 1 for each label, got {float(wrong[0]):g}"
        return None

    def wrong_training_target(self, target: Any, samples: int) -> str | None:
        """Shares between 0 and 1 may be trained on: labels that were smoothed or mixed."""
        if isinstance(target, Tensor) and target.is_floating_point():
            if not ((target >= 0) & (target <= 1)).all():
                return "targets must be between 0 and 1 for each label"
            return self.wrong_target((target > 0).float(), samples)
        return self.wrong_target(target, samples)

    def wrong_outputs(self, outputs: Any) -> str | None:
        return wrong_shape(outputs, ("1", str(self.classes)))
