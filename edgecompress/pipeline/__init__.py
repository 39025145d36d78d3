"""The whole order: what `edgecompress deploy`, and the commands on single files, do."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgecompress.pipeline.single import evaluate_file, inspect_file, measure_file
from edgecompress.progress import Progress
from edgecompress.spec.measurement import LayerComparison
from edgecompress.spec.report import Report

__all__ = [
    "compare_layers",
    "deploy",
    "deploy_all",
    "evaluate_file",
    "inspect_file",
    "measure_file",
]


def compare_layers(a: Path, b: Path, config: Path | None, max_steps: float) -> LayerComparison:
    """The first layer at which two int8 files part; see `layers.py`."""
    # Imports torch, with the room that writes files.
    from edgecompress.pipeline import layers

    return layers.compare_layers(a, b, config, max_steps)


def deploy(
    config: Path, target: str, *, progress: Progress, inventory: Path | None = None
) -> Report:
    """`deploy_all` for one target."""
    (report,) = deploy_all(config, [target], progress=progress, inventory=inventory)
    return report


def deploy_all(
    config: Path, targets: Sequence[str], *, progress: Progress, inventory: Path | None = None
) -> Iterator[Report]:
    """Prune, fine-tune, quantise, export, inspect, evaluate, measure, judge; see `whole.py`.

    Args:
        config: deploy.yaml; results go to `runs/` beside it.
        targets: names, or paths of their files; what several have in common is done once.
        progress: told of every stage.
        inventory: the devices at hand; None: the one that comes with edgecompress.

    Returns:
        A report for each target, in order, as soon as it is done.

    Raises:
        BadInput: something in the files, the task, the model or the disk must change.
        DeviceError: the device, its runtime, or the way to it.

    """
    # Imports torch; the functions on single files do without.
    from edgecompress.pipeline import whole

    return whole.deploy(config, targets, progress, inventory)
