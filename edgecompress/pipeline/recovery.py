"""What a cut costs: the loss after a short training, of which there is little for each of many."""

import math

from torch import nn

from edgecompress.compress.allocate import Score
from edgecompress.compress.macs import count
from edgecompress.compress.recalibrate import recalibrated
from edgecompress.compress.recover import recovered
from edgecompress.pipeline.job import CALIBRATION_SEED, Job
from edgecompress.pipeline.training import loss_of
from edgecompress.spec.deploy import TrainSpec
from edgecompress.task.base import Batch, inputs_of, take, tensors_of
from edgecompress.task.seed import seed_everything

STEPS = 20
"""How many steps of training each model has, at most."""
WORK = 1.0e13
"""Multiplications that the trainings of all models together may take, some minutes of a core."""
_PASSES = 3
"""What a step of training takes, in inferences."""
MOST_BYTES = 256 << 20
"""What the batches for these steps may take of memory."""


def score_after(job: Job, spec: TrainSpec | None, models: int) -> Score:
    """Minus the mean loss on fixed training batches, for so many models: of a copy of each, trained
    for as many steps as so many models can have, with batch norms whose statistics are taken anew,
    because those of the whole model are wrong for what is left of it (EagleEye: Li et al., ECCV
    2020).
    """
    batches = [] if spec is None else _batches(job, models)

    def score(model: nn.Module) -> float:
        if spec is not None and batches:
            seed_everything(job.recipe.config.seed, CALIBRATION_SEED)
            trained = recovered(model, job.task, spec, batches)
            loss = loss_of(job, recalibrated(trained, job.loss_batches))
            if math.isfinite(loss):
                return -loss
            # Its last step went too far.
        return -loss_of(job, recalibrated(model, job.loss_batches))

    return score


def _batches(job: Job, models: int) -> list[Batch]:
    """Other ones than the loss is taken on, where there are more."""
    samples = len(inputs_of(job.loss_batches[0])[0])
    macs = max(count(job.model, job.example_inputs).macs, 1)
    steps = min(STEPS, int(WORK / (_PASSES * macs * samples * models)))
    seed_everything(job.recipe.config.seed, CALIBRATION_SEED)
    used = len(job.loss_batches)
    taken = take(job.task.train_data(), used + steps)
    found, size = list[Batch](), 0
    for batch in (taken[used:] or taken)[:steps]:
        size += sum(x.nbytes for x in tensors_of(batch))
        if size > MOST_BYTES:
            break
        found.append(batch)
    return found
