"""One command turns a trained PyTorch model into the best one for an edge device."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.calls import CALLS, call_of, make_rooms_callable

if TYPE_CHECKING:
    from edgecompress.api import compare, compress, evaluate, inspect, measure, push
    from edgecompress.progress import Progress
    from edgecompress.spec.report import Report
    from edgecompress.task import (
        AudioTask,
        ClassificationTask,
        DetectionTask,
        EmbeddingTask,
        KeypointTask,
        MultiLabelTask,
        RegressionTask,
        SegmentationTask,
        SequenceTask,
        Task,
    )

__all__ = [
    "AudioTask",
    "ClassificationTask",
    "DetectionTask",
    "EmbeddingTask",
    "KeypointTask",
    "MultiLabelTask",
    "RegressionTask",
    "SegmentationTask",
    "SequenceTask",
    "Task",
    "__version__",
    "compare",
    "compress",
    "deploy",
    "evaluate",
    "inspect",
    "measure",
    "push",
]
__version__ = "0.1.0"
make_rooms_callable(__name__)
_KINDS = tuple(name for name in __all__ if name.endswith("Task"))


def deploy(
    config: str | Path,
    target: str,
    *,
    progress: "Progress | None" = None,
    inventory: str | Path | None = None,
    device: str | None = None,
) -> "Report":
    """What `edgecompress deploy TARGET --config CONFIG` does; silent without a `progress`.

    Args:
        config: deploy.yaml.
        target: a target's name, or the path of its file; for several at once,
            `edgecompress.pipeline.deploy_all`.
        progress: told of every stage; see edgecompress.progress.
        inventory: the devices at hand; None: `devices.yaml` beside `config`, and this machine.
        device: id of the one that the model is pushed to and activated on.

    Raises:
        EdgecompressError: see edgecompress.errors; a verdict of 'refuse' is no error.

    """
    from edgecompress import pipeline
    from edgecompress.progress import SilentProgress

    return pipeline.deploy(
        Path(config),
        target,
        progress=progress or SilentProgress(),
        measured=pipeline.Measured(
            inventory=None if inventory is None else Path(inventory),
            devices=() if device is None else (device,),
        ),
    )


def __getattr__(name: str) -> object:
    # Looked up on first use, so that `import edgecompress` does not import torch.
    if name in _KINDS:
        from edgecompress import task

        return getattr(task, name)
    if name in CALLS:
        return call_of(__name__, name)
    raise AttributeError(f"module 'edgecompress' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
