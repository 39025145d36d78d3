"""Boxes round objects."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from edgecompress.task.base import Task, tensors_of
from edgecompress.task.forms import Form
from edgecompress.task.labels import out_of_range
from edgecompress.task.metric import Metric
from edgecompress.task.metrics.detection import Found, MeanAveragePrecision
from edgecompress.task.suppression import paired, survivors
from edgecompress.task.words import came

_WAY = "give a list with {'boxes': [n, 4], 'labels': [n]} for each picture"
_BOXES = Form("boxes", ("n", "4"), is_integer=False)
_LABELS = Form("labels", ("n",), is_integer=True)


class DetectionTask(Task):
    """A target is a list with a dict for each picture: 'boxes' [n, 4] float32 as x1, y1, x2, y2 in
    pixels, and 'labels' [n] int64. Other entries are the user's. The loss is the user's, too.

    What the model puts out is free: a `decoder()` makes boxes [N, M, 4] and scores
    [N, M, classes] of it, in the file, or ends with a `NonMaximumSuppression`, which leaves the
    answers alone; or a `decode` of yours makes them in Python.
    """

    score_threshold = 0.05
    """Boxes of a lower score are no answers; see `decode`."""
    largest_overlap = 0.5
    """Where two boxes of a class overlap more, the one of the lower score is no answer; not asked
    where overlapping boxes are suppressed in the file.
    """
    most_boxes = 100
    """A picture has no more answers; those of the highest scores stay."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes; labels are 0 .. classes - 1."""

    def decode(self, outputs: Any) -> list[Found]:
        """Boxes [m, 4] in pixels, scores [m] and labels [m] of each picture. Written here for
        boxes [N, M, 4] and scores [N, M, classes], which the model or `decoder()` gives, and for
        what `NonMaximumSuppression` makes of them; override it for others.
        """
        if _are_suppressed(outputs):
            return [self._answers(*picture) for picture in zip(*tensors_of(outputs), strict=True)]
        boxes, scores = self._plain(outputs)
        return [self._best(*picture) for picture in zip(boxes, scores, strict=True)]

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        metric.update(self.decode(outputs), target)

    def in_order_of(self, reference: list[Tensor], outputs: list[Tensor]) -> list[Tensor]:
        """Suppressed boxes beside those of the reference that they overlap; see `paired`."""
        shapes = [[tensor.shape for tensor in side] for side in (reference, outputs)]
        if shapes[0] != shapes[1] or not _are_suppressed(outputs):
            return outputs
        return paired(reference, outputs)

    def metric(self) -> Metric:
        return MeanAveragePrecision()

    def distillation_loss(self, student: Any, teacher: Any, temperature: float) -> Tensor:
        """Where the model itself puts out boxes [N, M, 4] and scores [N, M, classes]: squared
        errors of scores, and of boxes, in units of the teacher's largest side, as far as the
        teacher is sure of an object. Of other outputs, the squared error of each.
        """
        are_raw = self.decoder() is not None
        if are_raw or any(self._wrong_plain(each) is not None for each in (student, teacher)):
            return super().distillation_loss(student, teacher, temperature)
        (boxes, scores), (their_boxes, their_scores) = self._plain(student), self._plain(teacher)
        sure = their_scores.amax(2, keepdim=True).clamp(0, 1)
        sides = (their_boxes[..., 2:] - their_boxes[..., :2]).amax().clamp(min=1)
        apart = ((boxes - their_boxes) / sides).square() * sure
        return functional.mse_loss(scores, their_scores) + apart.sum() / (4 * sure.sum() + 1e-6)

    def wrong_target(self, target: Any, samples: int) -> str | None:
        if not isinstance(target, (tuple, list)):
            return f"targets are not a list but {came(target)}; {_WAY}"
        if len(target) != samples:
            return f"a batch of {samples} samples has {len(target)} targets; {_WAY}"
        for number, each in enumerate(target):
            fault = self._wrong_objects(each)
            if fault is not None:
                return f"target {number}: {fault}"
        return None

    def wrong_outputs(self, outputs: Any) -> str | None:
        """Whether `decode` makes boxes of them."""
        if type(self).decode is DetectionTask.decode and not _are_suppressed(outputs):
            fault = self._wrong_plain(outputs)
            if fault is not None:
                return fault
        found = self.decode(outputs)
        if not isinstance(found, Sequence) or len(found) != 1:
            return f"decode() must give a list with one entry for each picture, not {came(found)}"
        parts = found[0]
        if not isinstance(parts, (tuple, list)) or len(parts) != 3:
            return f"decode() must give (boxes, scores, labels) of each picture, not {came(parts)}"
        count = len(parts[1]) if isinstance(parts[1], Tensor) and parts[1].ndim else 0
        for form, part in ((_BOXES, parts[0]), (_LABELS, parts[2])):
            fault = form.wrong(part, count)
            if fault is not None:
                return f"what decode() gives is wrong: {fault}"
        return None

    def _wrong_objects(self, objects: Any) -> str | None:
        if not isinstance(objects, Mapping) or not {"boxes", "labels"} <= set(objects):
            return f"it is {came(objects)}; {_WAY}"
        boxes, labels = objects["boxes"], objects["labels"]
        count = len(boxes) if isinstance(boxes, Tensor) and boxes.ndim else 0
        fault = _BOXES.wrong(boxes, count)
        if fault is not None:
            return fault
        fault = _LABELS.wrong(labels, len(labels) if isinstance(labels, Tensor) else count)
        if fault is None and len(labels) != count:
            fault = f"{count} boxes have {len(labels)} labels"
        if fault is None and (boxes[:, 2:] < boxes[:, :2]).any():
            bad = boxes[(boxes[:, 2:] < boxes[:, :2]).any(1)][0].tolist()
            fault = f"box {bad} ends before it begins; boxes are x1, y1, x2, y2"
        return fault if fault is not None else out_of_range(labels, self.classes)

    def _plain(self, outputs: Any) -> tuple[Tensor, Tensor]:
        fault = self._wrong_plain(outputs)
        if fault is not None:
            shapes = [list(tensor.shape) for tensor in tensors_of(outputs)]
            raise ValueError(f"outputs have shapes {shapes}; {fault}")
        boxes, scores = tensors_of(outputs)
        return boxes, scores

    def _wrong_plain(self, outputs: Any) -> str | None:
        shapes = [tensor.shape for tensor in tensors_of(outputs)]
        if (
            len(shapes) == 2
            and [len(shape) for shape in shapes] == [3, 3]
            and shapes[0][:2] == shapes[1][:2]
            and (shapes[0][2], shapes[1][2]) == (4, self.classes)
        ):
            return None
        return (
            f"with classes = {self.classes} it must give boxes [N, M, 4] and scores"
            f" [N, M, {self.classes}], or what NonMaximumSuppression makes of them, or the task a"
            " decoder() or a decode(outputs) of its own"
        )

    def _best(self, boxes: Tensor, scores: Tensor) -> Found:
        rows, labels = (scores > self.score_threshold).nonzero(as_tuple=True)
        boxes, scores = boxes[rows], scores[rows, labels]
        kept = survivors(boxes, scores, labels, self.largest_overlap)[: self.most_boxes]
        return boxes[kept], scores[kept], labels[kept]

    def _answers(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Found:
        """Those of one picture whose boxes were suppressed; a score of 0 is none."""
        kept = (scores > max(self.score_threshold, 0)).nonzero()[: self.most_boxes, 0]
        return boxes[kept], scores[kept], labels[kept].round().long()


def _are_suppressed(outputs: Any) -> bool:
    """Whether they are boxes [N, K, 4], scores [N, K] and classes [N, K]."""
    shapes = [tuple(tensor.shape) for tensor in tensors_of(outputs)]
    if len(shapes) != 3 or len(shapes[0]) != 3 or shapes[0][2] != 4:
        return False
    return shapes[1] == shapes[2] == shapes[0][:2]
