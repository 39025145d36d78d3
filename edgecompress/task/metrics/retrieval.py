"""Whether what is alike lies together."""

import torch
from torch import Tensor
from torch.nn import functional

_ROWS = 1024


class RetrievalAccuracy:
    """Share of the samples whose nearest other sample, by cosine, has the same label."""

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self) -> None:
        self._embeddings: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, embeddings: Tensor, labels: Tensor) -> None:
        """Add embeddings [N, dimensions] and integer labels [N]."""
        self._embeddings.append(functional.normalize(embeddings.detach().cpu().float(), dim=1))
        self._labels.append(labels.cpu())

    def compute(self) -> float:
        """Between 0 and 1; NaN when there were not two samples."""
        return float(self.per_sample().mean())

    def per_sample(self) -> Tensor:
        """[N] float64: 1 where the nearest other sample has the same label, else 0; NaN where
        there is no other.
        """
        samples = sum(map(len, self._labels))
        if samples < 2:
            return torch.full((samples,), torch.nan, dtype=torch.float64)
        embeddings, labels = torch.cat(self._embeddings), torch.cat(self._labels)
        right = []
        for start in range(0, samples, _ROWS):
            near = embeddings[start : start + _ROWS] @ embeddings.T
            rows = torch.arange(len(near))
            near[rows, rows + start] = -torch.inf
            right.append(labels[near.argmax(1)] == labels[rows + start])
        return torch.cat(right).double()
