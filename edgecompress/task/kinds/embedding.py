"""Vectors in which what is alike lies together."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgecompress.task.base import only_tensor, softened_divergence
from edgecompress.task.forms import Form
from edgecompress.task.kinds.one_output import OneOutput, wrong_shape
from edgecompress.task.metric import Metric
from edgecompress.task.metrics.retrieval import RetrievalAccuracy

_LABELS = Form("labels", ("N",), is_integer=True)


class EmbeddingTask(OneOutput):
    """Embeddings [N, dimensions] as the model's only output, compared by cosine; a target is
    integers [N], equal for what is alike. They need not be those of the evaluation.
    """

    gives_scores = False

    contrast = 0.1
    """Cosines are divided by it in the losses: the smaller, the more the nearest count."""

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        """The supervised contrastive loss (Khosla et al., 2020); of samples that are alone with
        their label in a batch there is none.
        """
        alike = self._alike(only_tensor(outputs))
        others = ~torch.eye(len(alike), dtype=torch.bool, device=alike.device)
        same = (target[:, None] == target[None, :]) & others
        log_shares = alike - alike.masked_fill(~others, -torch.inf).logsumexp(1, keepdim=True)
        has_same = same.any(1)
        each = (log_shares * same).sum(1)[has_same] / same.sum(1)[has_same]
        return -each.sum() / max(len(each), 1)

    def metric(self) -> Metric:
        return RetrievalAccuracy()

    def distillation_loss(self, student: Any, teacher: Any, temperature: float) -> Tensor:
        """Kullback-Leibler divergence of how alike each sample is to the others of the batch,
        softened, times T^2; so the dimensions may differ, as may rotations.
        """
        ours, theirs = (self._apart(only_tensor(each)) for each in (student, teacher))
        if ours.shape[1] == 0:
            return ours.sum()
        return softened_divergence(ours, theirs, temperature)

    def wrong_target(self, target: Any, samples: int) -> str | None:
        return _LABELS.wrong(target, samples)

    def wrong_outputs(self, outputs: Any) -> str | None:
        return wrong_shape(outputs, ("1", "dimensions"))

    def _alike(self, embeddings: Tensor) -> Tensor:
        """[N, N]: cosines over `contrast`."""
        unit = functional.normalize(embeddings, dim=1)
        return unit @ unit.T / self.contrast

    def _apart(self, embeddings: Tensor) -> Tensor:
        """[N, N - 1]: the same without that of each sample to itself."""
        alike = self._alike(embeddings)
        others = ~torch.eye(len(alike), dtype=torch.bool, device=alike.device)
        return alike[others].reshape(len(alike), len(alike) - 1)
