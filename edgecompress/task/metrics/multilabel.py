"""How well several labels of a sample are found."""

import torch
from torch import Tensor


class MultilabelF1Score:
    """The mean over labels of 2 TP / (2 TP + FP + FN), a label being given where its logit is
    positive; 0 for one that is neither wanted nor given.
    """

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self, classes: int) -> None:
        self._right = torch.zeros(classes, dtype=torch.int64)
        self._sums = torch.zeros(classes, dtype=torch.int64)
        self._samples = 0

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add logits [N, classes] and targets of 0 and 1 [N, classes]."""
        given, wanted = (logits > 0).cpu(), (target > 0.5).cpu()
        self._right += (given & wanted).sum(0)
        self._sums += given.sum(0) + wanted.sum(0)
        self._samples += len(given)

    def compute(self) -> float:
        """Between 0 and 1; NaN when there was no sample."""
        if not self._samples:
            return float("nan")
        return float((2 * self._right.double() / self._sums.clamp(min=1)).mean())


class MultilabelAveragePrecision:
    """The mean over labels of the area under precision against recall, by steps; a label that no
    sample has does not count.
    """

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self) -> None:
        self._scores: list[Tensor] = []
        self._wanted: list[Tensor] = []

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Add scores [N, classes], logits or not, and targets of 0 and 1 [N, classes]."""
        self._scores.append(scores.detach().cpu())
        self._wanted.append((target > 0.5).cpu())

    def compute(self) -> float:
        """Between 0 and 1; NaN when no label was wanted."""
        if not self._scores:
            return float("nan")
        pairs = zip(torch.cat(self._scores).T, torch.cat(self._wanted).T, strict=True)
        each = [_average_precision(*pair) for pair in pairs if pair[1].any()]
        return sum(each) / len(each) if each else float("nan")


def _average_precision(scores: Tensor, wanted: Tensor) -> float:
    scores, order = scores.sort(descending=True)
    found = wanted[order].double().cumsum(0)
    # Where scores are equal, all of them are given or none.
    ends = torch.cat([scores[1:] != scores[:-1], torch.ones(1, dtype=torch.bool)])
    places = ends.nonzero()[:, 0]
    found = found[places]
    precision = found / (places + 1)
    recall = torch.cat([torch.zeros(1, dtype=torch.float64), found / found[-1]])
    return float((recall.diff() * precision).sum())
