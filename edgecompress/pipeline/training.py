"""What the training stages share: the loop's settings, and the way into the store and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from torch import nn

from edgecompress.compress.checkpoint import load_state, to_bytes
from edgecompress.compress.distill import Teacher
from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.train import Training
from edgecompress.pipeline.job import Job, Point, Trained
from edgecompress.pipeline.stages import Output
from edgecompress.spec.base import Spec, parse
from edgecompress.spec.deploy import TrainSpec
from edgecompress.store import StageRecord


def training_of(
    job: Job, name: str, spec: TrainSpec, work_dir: Path, teacher: Point | None = None
) -> Training:
    """The settings of one run of the loop; with the teacher where the recipe distils."""
    distill = job.recipe.distill
    training = Training(name, job.task, spec, job.recipe.config.seed, work_dir, job.stages.progress)
    training.used = job.stages.used
    if teacher is not None and distill is not None:
        training.teacher = Teacher(duplicate(teacher.model), distill, job.task)
    return training


def loss_of(job: Job, model: Callable[..., Any]) -> float:
    """Mean task loss on fixed training batches."""
    with torch.no_grad():
        return float(job.loss(model))


def output_of(trained: Trained, model: nn.Module) -> Output:
    return Output(trained.model_dump(mode="json"), {"model": to_bytes(model.state_dict())})


def trained_of(record: StageRecord) -> Trained:
    return parse(Trained, record.result, f"stage {record.name}")


def state_of(job: Job, record: StageRecord) -> dict[str, torch.Tensor]:
    return load_state(job.stages.store.path(record.blobs["model"]))


def dump(spec: Spec | None) -> dict[str, JsonValue] | None:
    return None if spec is None else spec.model_dump(mode="json")
