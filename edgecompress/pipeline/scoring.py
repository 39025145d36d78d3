"""The metric of a file on data that is in memory, with the model that it came from or without."""

from pathlib import Path

import torch
from torch import Tensor, nn

from edgecompress.artifact import Artifact
from edgecompress.measure.parts import Rebuild
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.outputs import rebuilder_for
from edgecompress.pipeline.single import evaluate_by
from edgecompress.progress import Progress
from edgecompress.spec.measurement import Evaluation
from edgecompress.task.check import Reads, check_data
from edgecompress.task.given import Data, Given, Scoring
from edgecompress.task.load import original_model

_SEED = 0


def evaluate_given(
    file: Path, data: Data, scoring: Scoring, model: nn.Module | None, progress: Progress
) -> Evaluation:
    """Score a file on batches.

    Args:
        file: of a format that is known.
        data: all of the evaluation data.
        scoring: the metric.
        model: that the file was made of; None: its outputs are a tensor, or a tuple of them.
        progress: told how many samples are scored.

    Raises:
        BadInput: the file, the data or the metric.
        DeviceError: the runtime is not installed here.

    """
    artifact = describe_file(file)
    rebuild: Rebuild | None = None
    if model is None:
        task = Given(_Outputs(artifact), data, scoring=scoring).task()
    else:
        task = Given(model, data, scoring=scoring).task()
        own = original_model(task)
        check_data(task, own, Reads(methods=("eval_data",)), _SEED)
        rebuild = rebuilder_for(task, own, task.example_inputs(), artifact)
    return evaluate_by(task, artifact, rebuild, progress)


class _Outputs(nn.Module):
    """Gives zeros of the shapes that a file gives: all that is asked of a model where none is at
    hand.
    """

    def __init__(self, artifact: Artifact) -> None:
        super().__init__()
        self._shapes = [info.shape[1:] for info in artifact.outputs]

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = [
            torch.zeros(len(inputs[0]), *(1 if isinstance(size, str) else size for size in shape))
            for shape in self._shapes
        ]
        return found[0] if len(found) == 1 else tuple(found)
