"""Which of several boxes round the same object stays: in Python, and as a module for the file."""

import math

import numpy as np
import torch
from torch import Tensor, nn

_FAR = 1e9
"""No box lies so far away; and areas are still numbers of float32."""
_COUNTERPART = 0.5
"""Two executions that find one object overlap by so much, as intersection over union."""
_JUST = 1e-3
"""So much more, as a share, is far more than rounding changes a score in float."""
_FEW = 0.01


class NonMaximumSuppression(nn.Module):
    """The end of a detector's `decoder()`: of boxes that overlap, the best stays, and as many are
    left as asked, in plain operators that every runtime has.

    A candidate is a box with one of its classes. Of two of the same class that overlap by more
    than `iou`, the one of the higher score suppresses the other, unless it is suppressed itself;
    of equal scores, the one that comes first counts as higher, in every runtime.

    That is usually settled one after the other. Here all are looked at together, again and again,
    and those stay that overlap no higher one which stayed the last time (Cluster-NMS: Zheng et
    al., "Enhancing Geometric Factors in Model Learning and Inference for Object Detection and
    Instance Segmentation", 2020). The first step settles those that overlap no higher one, and
    each step those that depend on what was settled before: n steps give the same boxes as one
    after the other does, unless n + 2 boxes form a chain, each overlapping the next one of a lower
    score. Chains lead away from an object, so a few steps do for what detectors put out, and
    `steps_needed` counts them; as many as there are candidates do always. At the end of a longer
    chain an even number of steps may leave a box too many, and never one too few.
    """

    def __init__(
        self,
        count: int = 100,
        iou: float = 0.5,
        score: float = 0.05,
        candidates: int = 300,
        steps: int = 20,
    ) -> None:
        """A suppression without weights.

        Args:
            count: boxes that it gives.
            iou: the largest intersection over union of two boxes of a class that both stay.
            score: candidates that have no higher one are left out.
            candidates: how many, those of the highest scores, are looked at; the file has tensors
                of their square.
            steps: how often; see above.

        Raises:
            ValueError: one of them makes no sense.

        """
        super().__init__()
        if min(count, candidates, steps) < 1:
            raise ValueError(
                f"count={count}, candidates={candidates}, steps={steps}: each must be 1 or more"
            )
        if not (0 <= iou <= 1 and 0 <= score < math.inf):
            raise ValueError(f"iou={iou} must be 0 to 1, and score={score} 0 or more")
        self.count, self.iou, self.score = count, iou, score
        self.candidates, self.steps = candidates, steps

    def forward(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is found, the best first.

        Args:
            boxes: [N, A, 4] float32: x1, y1, x2, y2.
            scores: [N, A, classes] float32.

        Returns:
            boxes [N, K, 4], scores [N, K] and classes [N, K], whole numbers in float32, where K is
            `count`, or `candidates` or A * classes where there are fewer. What is left over is 0
            throughout, and its score of 0 says so.

        Raises:
            ValueError: they have other shapes.

        """
        boxes, scores, labels, places = self._best(boxes, scores)
        before = _before(scores, places)
        alive = (scores > self.score).float()[:, None]  # [N, 1, P]
        against, stays = _against(before, boxes, labels, self.iou), alive
        for _ in range(self.steps):
            stays = _step(stays, against)
        stays = stays * alive
        # Each has a whole number of its own, and all that is left over is alike: nothing depends on
        # how a runtime orders what is equal.
        ranks = stays.bmm(before)
        keys = (stays * (scores.shape[1] - ranks)).squeeze(1)
        stay = stays.squeeze(1)
        order = keys.topk(min(self.count, scores.shape[1]), dim=1).indices
        boxes = torch.where(stay[:, :, None] > 0.5, boxes, 0.0)
        return (
            _taken(boxes, order),
            torch.where(stay > 0.5, scores, 0.0).gather(1, order),
            (labels * stay).gather(1, order),
        )

    def steps_needed(self, boxes: Tensor, scores: Tensor) -> int:
        """After how many steps nothing changes any more, for boxes and scores as `forward` takes
        them: the longest chain. It is for Python, and belongs into no file.
        """
        boxes, scores, labels, places = self._best(boxes, scores)
        alive = (scores > self.score).float()[:, None]
        before = _before(scores, places)
        against, stays = _against(before, boxes, labels, self.iou), alive
        most = scores.shape[1]
        for steps in range(most):
            following = _step(stays, against)
            if not ((following - stays) * alive).any():
                return steps
            stays = following
        return most

    def _best(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes [N, P, 4], scores, classes and places [N, P] of the best P candidates. A place is
        the candidate's own among all A * classes.
        """
        if boxes.dim() != 3 or boxes.shape[2] != 4 or scores.dim() != 3:
            raise ValueError(_wrong(boxes, scores))
        count, classes = scores.shape[1:]
        if boxes.shape[1] != count:
            raise ValueError(_wrong(boxes, scores))
        rows = torch.arange(count, device=scores.device).expand(scores.shape[0], -1)
        if count > self.candidates and classes > 1:
            # The best candidates are among those of the boxes whose best class is best.
            rows = scores.amax(2).topk(self.candidates, dim=1).indices
            boxes, scores = _taken(boxes, rows), _taken(scores, rows)
        flat = scores.flatten(1)
        scores, index = flat.topk(min(self.candidates, flat.shape[1]), dim=1)
        # Looked up: runtimes divide integers each in a way of its own, and float16 has few of them.
        columns = torch.arange(classes, device=scores.device)
        labels = columns.expand(*rows.shape, -1).flatten(1).gather(1, index)
        places = (rows[:, :, None] * classes + columns).flatten(1).gather(1, index)
        own = torch.arange(rows.shape[1], device=scores.device)[:, None].expand(-1, classes)
        boxes = _taken(boxes, own.flatten().expand(scores.shape[0], -1).gather(1, index))
        return boxes, scores, labels.float(), places


def _wrong(boxes: Tensor, scores: Tensor) -> str:
    return (
        "NonMaximumSuppression takes boxes [N, A, 4] and scores [N, A, classes], not"
        f" {list(boxes.shape)} and {list(scores.shape)}"
    )


def _taken(values: Tensor, rows: Tensor) -> Tensor:
    """[N, P, C] of values [N, A, C] by rows [N, P]."""
    return values.gather(1, rows[:, :, None].expand(-1, -1, values.shape[2]))


def _before(scores: Tensor, places: Tensor) -> Tensor:
    """[N, P, P]: 1 where the first goes before the second, and else 0. Here and below signs stand
    for comparisons, for which LiteRT has kernels of one number at a time only.
    """
    higher = (scores[:, :, None] - scores[:, None, :]).sign()
    first = (places[:, None, :] - places[:, :, None]).float().sign()
    return (2 * higher + first).sign().relu()


def _against(before: Tensor, boxes: Tensor, labels: Tensor, iou: float) -> Tensor:
    """[N, P, P]: 1 where the first would suppress the second, and else 0."""
    # Of an infinity there are no differences.
    x1, y1, x2, y2 = torch.where(boxes.abs() < _FAR, boxes, 0.0).unbind(2)
    areas = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
    both = _shared(x1, x2) * _shared(y1, y2)
    # Multiplied, for a union may be nothing.
    union = areas[:, :, None] + areas[:, None, :] - both
    is_near = (both - iou * union).sign().relu()
    is_same = (1 - (labels[:, :, None] - labels[:, None, :]).abs()).relu()
    return before * is_near * is_same


def _shared(start: Tensor, end: Tensor) -> Tensor:
    """[N, P, P]: how much of a line each two have in common, of starts and ends [N, P]."""
    first = torch.maximum(start[:, :, None], start[:, None, :])
    return (torch.minimum(end[:, :, None], end[:, None, :]) - first).clamp(min=0)


def _step(stays: Tensor, against: Tensor) -> Tensor:
    """[N, 1, P]: 1 for those that nothing suppresses which stays, and else 0. It is exactly that
    also where a converter changed a factor by a millionth.
    """
    return (1 - stays.bmm(against)).relu()


def survivors(boxes: Tensor, scores: Tensor, labels: Tensor, largest_overlap: float) -> Tensor:
    """Indices of boxes [m, 4] xyxy, highest scores first, without those that overlap one of the
    same label and a higher score by more than `largest_overlap`, as intersection over union.
    """
    order = scores.argsort(descending=True, stable=True)
    near = overlaps(boxes[order]) > largest_overlap
    near &= labels[order, None] == labels[order]
    # In numpy, whose small steps cost a tenth of torch's.
    apart, kept = ~near.cpu().numpy(), np.ones(len(order), np.bool_)
    for row in range(len(order)):
        if kept[row]:
            kept[row + 1 :] &= apart[row, row + 1 :]
    return order[torch.from_numpy(kept).to(order.device)]


def overlaps(boxes: Tensor) -> Tensor:
    """[m, m]: intersection over union of boxes [m, 4] xyxy; 0 for those without an area."""
    least = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    most = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    both = (most - least).clamp(min=0).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    return both / (areas[:, None] + areas - both).clamp(min=1e-9)


def paired(reference: list[Tensor], found: list[Tensor]) -> list[Tensor]:
    """What is found, [N, K, 4], [N, K] and [N, K] as `NonMaximumSuppression` has it, in the places
    of what the reference has there: two scores that are nearly equal may change places where
    something is rounded otherwise, and all boxes behind one that is suppressed move up.

    A box is paired with that of the same class which it overlaps most, and by half at least. One
    without a counterpart differs by its score alone: 0 stands beside it. The few whose scores are
    the lowest of all just so passed what is asked of scores, and on the other side maybe not: those
    without a counterpart do not count.
    """
    sides = (*reference, *found)
    if not all(bool(each.isfinite().all()) for each in sides):
        return found
    put = [each.clone() for each in found]
    least = _lowest(torch.cat([reference[1].flatten(), found[1].flatten()]))
    for picture in (~_are_in_order(reference, found)).nonzero()[:, 0].tolist():
        one, other = ([each[picture] for each in side] for side in (reference, found))
        for each, values in zip(put, _paired(one, other, least), strict=True):
            each[picture] = values
    return put


def _are_in_order(reference: list[Tensor], found: list[Tensor]) -> Tensor:
    """[N]: whether each box lies where its counterpart does, as it mostly is."""
    (boxes, scores, classes), (others, theirs, labels) = reference, found
    sides = torch.minimum(boxes, others)[..., 2:] - torch.maximum(boxes, others)[..., :2]
    both = sides.clamp(min=0).prod(2)
    areas = [(each[..., 2:] - each[..., :2]).clamp(min=0).prod(2) for each in (boxes, others)]
    is_near = both >= _COUNTERPART * (areas[0] + areas[1] - both)
    return (((scores > 0) == (theirs > 0)) & ((classes - labels).abs() < 0.5) & is_near).all(1)


def _lowest(scores: Tensor) -> float:
    """Up to where scores are the lowest; 0 where those are many, as where all are alike."""
    passed = scores[scores > 0]
    if not len(passed):
        return 0.0
    least = float(passed.min()) * (1 + _JUST)
    return least if int((passed <= least).sum()) <= max(1, _FEW * len(passed)) else 0.0


def _paired(reference: list[Tensor], found: list[Tensor], least: float) -> list[Tensor]:
    """One picture. Scores up to `least` are those that just so passed."""
    boxes, scores, classes = reference
    there, here = scores.nonzero()[:, 0], found[1].nonzero()[:, 0]
    near = overlaps(torch.cat([boxes[there], found[0][here]]))[: len(there), len(there) :]
    free = torch.where((classes[there, None] - found[2][here]).abs() < 0.5, near, 0.0).numpy()
    put = [boxes.clone(), torch.where(scores <= least, scores, 0.0), classes.clone()]
    alone = found[1][here] > least
    for row, at in enumerate(there.tolist() if len(here) else []):
        best = int(free[row].argmax())
        if free[row, best] >= _COUNTERPART:
            for each, values in zip(put, found, strict=True):
                each[at] = values[here[best]]
            alone[best], free[:, best] = False, 0
    left = (scores == 0).nonzero()[:, 0]
    rest = found[1][here[alone]][: len(left)]
    put[1][left[: len(rest)]] = rest
    return put
