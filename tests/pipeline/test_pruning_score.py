"""What pruning goes by, where it has to know how much worse a smaller model is."""

import math
from pathlib import Path
from typing import Any

import deploying
import pytest
import torch
from test_sparsify import job_in
from torch import nn

from edgecompress.compress.allocate import Score
from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.macs import count
from edgecompress.compress.prune_context import PruneContext
from edgecompress.pipeline import models, recovery
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.models import original, pruned
from edgecompress.pipeline.stages import Stages
from edgecompress.spec.deploy import TrainSpec
from edgecompress.task import Batch


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


def steps_of(job: Job, models: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many a score of so many models takes."""
    seen: list[int] = []

    def recovered(
        model: nn.Module, _task: object, _spec: object, batches: list[Batch], _: object
    ) -> nn.Module:
        seen.append(len(batches))
        return model

    monkeypatch.setattr(recovery, "recovered", recovered)
    recovery.score_after(job, job.recipe.config.recovery, models)(job.model)
    return sum(seen)


def test_a_short_training_is_shorter_where_models_are_many_or_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(deploying.fresh(tmp_path / "project"), tmp_path)
    whole = steps_of(job, 1, monkeypatch)
    assert 5 < whole <= recovery.STEPS
    samples = len(job.loss_batches[0][0])
    one = 3 * count(job.model, job.example_inputs).macs * samples
    monkeypatch.setattr(recovery, "WORK", 10.0 * one)
    assert [steps_of(job, models, monkeypatch) for models in (2, 5, 11)] == [5, 2, 0]
    monkeypatch.setattr(recovery, "MOST_BYTES", 1)
    assert steps_of(job, 1, monkeypatch) == 0


def test_a_training_whose_last_step_went_too_far_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(deploying.fresh(tmp_path / "project"), tmp_path)
    untrained = recovery.score_after(job, None, 1)(job.model)

    def recovered(model: nn.Module, *_: object) -> nn.Module:
        broken = duplicate(model)
        with torch.no_grad():
            next(broken.parameters()).fill_(torch.nan)
        return broken

    monkeypatch.setattr(recovery, "recovered", recovered)
    assert recovery.score_after(job, job.recipe.config.recovery, 1)(job.model) == untrained


def test_a_recipe_that_trains_nothing_scores_what_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deploying.fresh(tmp_path / "project")
    (folder / "deploy.yaml").write_text(deploying.UNTRAINED)
    job = job_in(folder, tmp_path)
    assert job.recipe.config.recovery is None
    assert steps_of(job, 1, monkeypatch) == 0
    assert math.isfinite(recovery.score_after(job, None, 1)(job.model))


def test_recipes_that_ask_for_more_or_less_share_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deploying.fresh(tmp_path / "project")
    text = (folder / "deploy.yaml").read_text()
    scored: list[int] = []

    def score_after(job: Job, spec: TrainSpec | None, models: int) -> Score:
        scored.append(models)
        return recovery.score_after(job, spec, models)

    monkeypatch.setattr(models, "score_after", score_after)

    def left(ratio: float, store: str, old: str = "", new: str = "") -> object:
        """Channels of each layer, after pruning."""
        by = f"sensitivity\n  pruning_ratio: {ratio}"
        changed = text.replace("uniform\n  pruning_ratio: 0.5", by).replace(old, new)
        (folder / "deploy.yaml").write_text(changed)
        torch.manual_seed(0)  # of the task's model, which a command seeds too
        job = job_in(folder, tmp_path / store)
        start = original(job, job.model)
        scored.clear()
        return pruned(job, start, start).layers

    def trainings(*asked: Any) -> int:
        left(*asked)
        return sum(scored)

    many = trainings(0.25, "one")
    assert many > 1
    assert trainings(0.5, "one") == 0
    assert left(0.5, "one") == left(0.5, "another") != left(0.25, "one")
    # What it follows from: whose channels go first, and how what is left trains.
    assert trainings(0.5, "one", "magnitude", "taylor") == many
    assert trainings(0.5, "one", "learning_rate: 0.02", "learning_rate: 0.04") == many


@pytest.mark.parametrize(
    ("allocation", "follows"),
    [
        ("uniform\n  pruning_ratio: 0.5", False),
        ("sensitivity\n  pruning_ratio: 0.5", True),
        ("uniform\n  pruning_ratio: 0.5\n  remove_blocks: 1", True),
    ],
)
def test_only_what_is_scored_follows_from_how_the_recipe_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allocation: str, follows: bool
) -> None:
    asked: list[dict[str, object]] = []

    def run(_self: Stages, _name: str, depends_on: dict[str, object], _work: object) -> None:
        asked.append(depends_on)
        raise Seen

    folder = deploying.fresh(tmp_path / "project")
    text = (folder / "deploy.yaml").read_text()
    changed = text.replace("uniform\n  pruning_ratio: 0.5", allocation)
    (folder / "deploy.yaml").write_text(changed)
    job = job_in(folder, tmp_path)
    start = original(job, job.model)
    monkeypatch.setattr(Stages, "run", run)
    with pytest.raises(Seen):
        pruned(job, start, start)
    assert (asked[0]["recovery"] is not None) == follows
