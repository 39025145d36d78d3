"""The whole order: what `edgecompress deploy`, and the commands on single files, do."""

from pathlib import Path

from edgecompress.pipeline.single import evaluate_file, inspect_file, measure_file
from edgecompress.progress import Progress
from edgecompress.spec.report import Report

__all__ = ["deploy", "evaluate_file", "inspect_file", "measure_file"]


def deploy(
    config: Path, target: str, *, progress: Progress, inventory: Path | None = None
) -> Report:
    """Prune, fine-tune, quantise, export, inspect, evaluate, measure, judge; see `whole.py`.

    Args:
        config: deploy.yaml; results go to `runs/` beside it.
        target: a target's name, or the path of its file.
        progress: told of every stage.
        inventory: the devices at hand; None: the one that comes with edgecompress.

    Raises:
        BadInput: something in the files, the task, the model or the disk must change.
        DeviceError: the device, its runtime, or the way to it.

    """
    # Imports torch; the functions on single files do without.
    from edgecompress.pipeline import whole

    return whole.deploy(config, target, progress, inventory)
