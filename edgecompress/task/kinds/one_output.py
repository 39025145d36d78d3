"""What kinds have in common whose model puts out one tensor."""

from typing import Any

from torch import Tensor
from torch.nn import functional

from edgecompress.task.base import Task, only_tensor, tensors_of
from edgecompress.task.metric import Metric


class OneOutput(Task):
    """The model's only output is a tensor, or lies alone in a ModelOutput or another structure."""

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        metric.update(only_tensor(outputs), target)


def cross_entropy(scores: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Mean over the labels [N, ...] that count, of scores [N, classes, ...]; 0 where none does."""
    total = functional.cross_entropy(
        scores, labels.long(), ignore_index=ignore_index, reduction="sum"
    )
    return total / (labels != ignore_index).sum().clamp(min=1)


def wrong_shape(outputs: Any, *wanted: tuple[str, ...]) -> str | None:
    """What the model should give, unless it is one tensor of one of these shapes, whose dimensions
    are sizes, or names where any will do.
    """
    shapes = [tuple(tensor.shape) for tensor in tensors_of(outputs)]
    if len(shapes) == 1 and any(_fits(shapes[0], each) for each in wanted):
        return None
    forms = " or ".join(f"[{', '.join(each)}]" for each in wanted)
    return f"it must give one of {forms}"


def _fits(shape: tuple[int, ...], wanted: tuple[str, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        not name.isdigit() or int(name) == size for name, size in zip(wanted, shape, strict=True)
    )
