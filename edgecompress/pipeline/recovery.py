"""What cuts cost: the loss after a short training, of which there is little for each of many."""

import math
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter
from torch import nn

from edgecompress.compress.allocate import Score, Sensitivity
from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.hardware import Hardware, cpu_hardware, fault_on
from edgecompress.compress.macs import count
from edgecompress.compress.prune import prune
from edgecompress.compress.recalibrate import recalibrated
from edgecompress.compress.recover import recovered
from edgecompress.pipeline.code import entry
from edgecompress.pipeline.job import CALIBRATION_SEED, Job, Point
from edgecompress.pipeline.stages import Output
from edgecompress.pipeline.training import dump, loss_of
from edgecompress.spec.deploy import TrainSpec
from edgecompress.task.base import Batch, inputs_of, take, tensors_of
from edgecompress.task.seed import seed_everything

STEPS = 20
"""How many steps of training each model has, at most."""
WORK = 1.0e13
"""Multiplications that the trainings of all models together may take, some minutes of a core."""
_PASSES = 3
"""What a step of training takes, in inferences."""
_OF_A_SCAN = {"importance", "reach", "ignored_layers", "remove_blocks"}
"""What decides which groups there are, and in which order their channels go."""
_MEASURED = TypeAdapter(list[list[tuple[int, float]]])
MOST_BYTES = 256 << 20
"""What the batches for these steps may take of memory."""


def score_after(job: Job, spec: TrainSpec | None, models: int) -> Score:
    """Minus the mean loss on fixed training batches, for so many models: of a copy of each, trained
    for as many steps as so many models can have, with batch norms whose statistics are taken anew,
    because those of the whole model are wrong for what is left of it (EagleEye: Li et al., ECCV
    2020).
    """
    batches = [] if spec is None else _batches(job, models)
    hardware = _hardware(job) if batches else Hardware()

    def score(model: nn.Module) -> float:
        if spec is not None and batches:
            seed_everything(job.recipe.config.seed, CALIBRATION_SEED)
            trained = recovered(model, job.task, spec, batches, hardware)
            loss = loss_of(job, recalibrated(trained, job.loss_batches))
            if math.isfinite(loss):
                return -loss
            # Its last step went too far.
        return -loss_of(job, recalibrated(model, job.loss_batches))

    return score


def _hardware(job: Job) -> Hardware:
    """The CPU, because a GPU's trainings differ from run to run, and what is cut should not."""
    hardware = cpu_hardware()
    fault = fault_on(hardware, duplicate(job.model), job.example_inputs)
    return hardware if fault is None else Hardware()


def scanned(job: Job, before: Point, scan: Callable[[], Sensitivity]) -> Sensitivity:
    """What `scan` finds of the recipe's groups, or found for another recipe that only asks for more
    or less of them. Its trainings take longer than anything else that pruning does.
    """
    spec = job.recipe.config.prune

    def work(_: Path) -> Output:
        measured = [list(found.items()) for found in scan().measured]
        return Output({"measured": _MEASURED.dump_python(measured, mode="json")})

    depends_on = job.depends_on(
        prune=None if spec is None else spec.model_dump(mode="json", include=_OF_A_SCAN),
        round_to=job.recipe.round_to,
        parent=before.key,
        recovery=dump(job.recipe.config.recovery),
    )
    also = (entry(prune), entry(score_after))
    record = job.stages.part("scan", depends_on, work, also)
    measured = _MEASURED.validate_python(record.result["measured"])
    return Sensitivity([dict(found) for found in measured])


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
