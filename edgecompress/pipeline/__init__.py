"""The whole order: what `edgecompress deploy`, and the commands on single files, do."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.errors import SpecError
from edgecompress.pipeline.orders import (
    HERE_AS_USUAL,
    Measured,
    PushOrder,
    TargetFailed,
    deploy_order,
)
from edgecompress.pipeline.single import HowMeasured, evaluate_file, inspect_file, measure_file
from edgecompress.progress import Progress
from edgecompress.spec.layers import LayerComparison
from edgecompress.spec.report import PushedRun, Report

if TYPE_CHECKING:
    from edgecompress.pipeline.layers import Samples

__all__ = [
    "HowMeasured",
    "Measured",
    "PushOrder",
    "TargetFailed",
    "compare_layers",
    "deploy",
    "deploy_all",
    "evaluate_file",
    "inspect_file",
    "measure_file",
    "push_run",
]


def compare_layers(
    a: Path, b: Path, config: "Path | Samples | None", max_steps: float
) -> LayerComparison:
    """The first layer at which two int8 files part; see `layers.py`."""
    # Imports torch, with the room that writes files.
    from edgecompress.pipeline import layers

    return layers.compare_layers(a, b, config, max_steps)


def deploy(
    config: Path, target: str, *, progress: Progress, measured: Measured = HERE_AS_USUAL
) -> Report:
    """`deploy_all` for one target; what went wrong is raised."""
    (result,) = deploy_all(config, [target], progress=progress, measured=measured)
    if isinstance(result, TargetFailed):
        raise result.error
    return result


def deploy_all(
    config: Path,
    targets: Sequence[str],
    *,
    progress: Progress,
    measured: Measured = HERE_AS_USUAL,
) -> Iterator[Report | TargetFailed]:
    """Prune, fine-tune, quantise, export, inspect, evaluate, measure, judge; see `whole.py`.

    Args:
        config: deploy.yaml; results go to `runs/` beside it.
        targets: names, or paths of their files; what several have in common is done once.
        progress: told of every stage.
        measured: on which devices, and how.

    Returns:
        A report for each target, in order, as soon as it is done. What goes wrong with one, of
        whatever kind, is given in place of its report, and stops none of the others.

    Raises:
        BadInput: something in the files or the task must change before any target can be tried.

    """
    asked = deploy_order(config, targets, measured)
    if asked.wanted.recipe == "auto":
        raise SpecError(f"{config}: recipe: auto is found by: edgecompress optimize {targets[0]}")
    # Imports torch; the functions on single files do without.
    from edgecompress.pipeline import whole

    return whole.deploy(asked, progress)


def push_run(order: PushOrder, progress: Progress) -> PushedRun:
    """The model of a finished run onto devices; see `pushing.py` and `push_one.py`."""
    # Imports torch, to score what the devices compute.
    from edgecompress.pipeline import pushing

    return pushing.push_run(order, progress)
