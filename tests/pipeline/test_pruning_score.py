"""What pruning goes by, where it has to know how much worse a smaller model is."""

from pathlib import Path

import deploying
import pytest
import torch
from test_sparsify import job_in

from edgecompress.compress.prune import PruneContext
from edgecompress.pipeline import models
from edgecompress.pipeline.models import original, pruned


class Seen(Exception):
    pass


def test_a_smaller_model_is_scored_with_batch_norm_statistics_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[PruneContext] = []

    def prune(_model: object, _spec: object, _round_to: int, context: PruneContext) -> None:
        contexts.append(context)
        raise Seen

    monkeypatch.setattr(models, "prune", prune)
    job = job_in(deploying.fresh(tmp_path / "project"), tmp_path)
    start = original(job, job.model)
    with pytest.raises(Seen):
        pruned(job, start, start)
    model, score = start.model, contexts[0].score(1)
    wanted, loss = score(model), contexts[0].loss
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean += 3.0
    spoilt = [norm.running_mean.clone() for norm in norms]
    assert norms
    assert float(loss(model).detach()) > -wanted + 0.1
    assert score(model) == wanted
    assert all(norm.running_mean.equal(mean) for norm, mean in zip(norms, spoilt, strict=True))
    with torch.no_grad():
        next(model.parameters()).zero_()
    assert score(model) < wanted - 0.1
