"""A class for every pixel."""

from abc import abstractmethod
from typing import Any

from torch import Tensor

from edgecompress.task.base import only_tensor, softened_divergence
from edgecompress.task.forms import Form
from edgecompress.task.kinds.one_output import OneOutput, cross_entropy, wrong_shape
from edgecompress.task.labels import out_of_range
from edgecompress.task.metric import Metric
from edgecompress.task.metrics.segmentation import MeanIntersectionOverUnion

_MASKS = Form("masks", ("N", "H", "W"), is_integer=True)


class SegmentationTask(OneOutput):
    """Class scores [N, classes, H, W] as the model's only output; a target is labels [N, H, W]."""

    ignore_index = 255
    """The label of pixels that count neither in the loss nor in the metric."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes; labels are 0 .. classes - 1, and `ignore_index`."""

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        return cross_entropy(only_tensor(outputs), target, self.ignore_index)

    def metric(self) -> Metric:
        return MeanIntersectionOverUnion(self.classes, self.ignore_index)

    def distillation_loss(self, student: Any, teacher: Any, temperature: float) -> Tensor:
        """Kullback-Leibler divergence of each pixel's softened scores, times T^2; their mean."""
        return softened_divergence(only_tensor(student), only_tensor(teacher), temperature)

    def wrong_target(self, target: Any, samples: int) -> str | None:
        fault = _MASKS.wrong(target, samples)
        return fault if fault is not None else out_of_range(target, self.classes, self.ignore_index)

    def wrong_outputs(self, outputs: Any) -> str | None:
        return wrong_shape(outputs, ("1", str(self.classes), "H", "W"))
