"""A few steps of training of a model that has just lost something.

What a cut costs before any training misleads: the layers behind it, which would learn to do
without, still wait for what is gone. NetAdapt (Yang et al., 2018) trains its candidates for a short
time for the same reason.
"""

import math
from collections.abc import Sequence

from torch import nn

from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.hardware import Hardware
from edgecompress.compress.layout import use_channels_last
from edgecompress.compress.learner import Alone
from edgecompress.compress.lesson import Lesson
from edgecompress.compress.modes import set_training
from edgecompress.compress.steps import Steps
from edgecompress.spec.deploy import TrainSpec
from edgecompress.task.base import Batch, Task


def recovered(
    model: nn.Module,
    task: Task,
    spec: TrainSpec,
    batches: Sequence[Batch],
    hardware: Hardware,
) -> nn.Module:
    """A copy of `model` in eval mode, after a step on each batch, at rates that fall from the
    spec's to zero. Where the loss is no number on the way, the copy is as the model was, because a
    rate at which training ends in nothing tells nothing of a cut.

    Args:
        model: on the CPU.
        task: its loss.
        spec: the optimizer; nothing that takes more than an epoch, as `for_one_epoch` has it.
        batches: in this order.
        hardware: on the CPU, in a precision that the model runs in.

    Raises:
        TaskError: the model cannot take a batch, or the loss its outputs.

    """
    copy = duplicate(model)
    use_channels_last([copy], task.example_inputs())
    steps = Steps(copy, spec, hardware)
    gradients = Alone(copy, Lesson("prune", task, hardware), None)
    set_training(copy, True)
    for at, batch in enumerate(batches):
        steps.at(at / len(batches))
        steps.clear()
        if not math.isfinite(gradients.gradients(batch, steps.scale)):
            copy = duplicate(model)
            break
        steps.step(1, _nothing)
    set_training(copy, False)
    steps.clear()
    return copy


def _nothing() -> None:
    pass
