"""Points of a body, a face or a thing."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgecompress.task.base import only_tensor
from edgecompress.task.forms import Form
from edgecompress.task.kinds.one_output import OneOutput, wrong_shape
from edgecompress.task.metric import Metric
from edgecompress.task.metrics.keypoints import CorrectKeypoints, visible


class KeypointTask(OneOutput):
    """The model's only output is coordinates [N, points, 2], or heat maps [N, points, H, W]; a
    target is [N, points, 2] floats, x and y in pixels of the input, or [N, points, 3], whose third
    number is 0 for points that cannot be seen.
    """

    stride = 1.0
    """Pixels of the input for one of a heat map, or for one unit of coordinates: teach a net
    coordinates of about 1, and give the picture's side here.
    """
    spread = 1.5
    """How wide a point is that a heat map should show: the standard deviation, in its pixels."""

    @property
    @abstractmethod
    def points(self) -> int:
        """Number of points."""

    @property
    @abstractmethod
    def within(self) -> float:
        """A point is found when it is no further from its place than so many pixels."""

    def decode(self, outputs: Any) -> Tensor:
        """Points [N, points, 2] in pixels: of a heat map, the middle of its highest pixel."""
        found = only_tensor(outputs)
        if found.ndim == 3:
            return found * self.stride
        best = found.flatten(2).argmax(2)
        x, y = best % found.shape[3], best // found.shape[3]
        return (torch.stack([x, y], 2) + 0.5) * self.stride

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        """The smooth absolute error of coordinates; for heat maps, the squared error to a peak of
        1 at the point. Points that cannot be seen do not count.
        """
        found, seen = only_tensor(outputs), visible(target)
        if found.ndim == 3:
            wanted = target[..., :2] / self.stride
            each = functional.smooth_l1_loss(found, wanted, beta=0.1, reduction="none").mean(2)
        else:
            each = (found - self._peaks(target, found)).square().mean((2, 3))
        return (each * seen).sum() / seen.sum().clamp(min=1)

    def metric(self) -> Metric:
        return CorrectKeypoints(self.within)

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        metric.update(self.decode(outputs), target)

    def wrong_target(self, target: Any, samples: int) -> str | None:
        has_third = isinstance(target, Tensor) and target.ndim == 3 and target.shape[2] == 3
        numbers = "3" if has_third else "2"
        form = Form("points", ("N", str(self.points), numbers), is_integer=False)
        return form.wrong(target, samples)

    def wrong_outputs(self, outputs: Any) -> str | None:
        points = str(self.points)
        return wrong_shape(outputs, ("1", points, "2"), ("1", points, "H", "W"))

    def _peaks(self, target: Tensor, like: Tensor) -> Tensor:
        """Heat maps [N, points, H, W] with a peak of 1 at each point."""
        x, y = (target[..., axis, None] / self.stride - 0.5 for axis in (0, 1))
        rows, columns = (torch.arange(like.shape[dim], device=like.device) for dim in (2, 3))
        across, down = ((rows - y) ** 2)[..., :, None], ((columns - x) ** 2)[..., None, :]
        return torch.exp(-(across + down) / (2 * self.spread**2))
