"""What pruning needs of whoever asks for it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from edgecompress.compress.allocate import Score, Sensitivity
from edgecompress.compress.allocate_latency import SpeedOf
from edgecompress.compress.prunable import Progress, silent


def _now(scan: Callable[[], Sensitivity]) -> Sensitivity:
    return scan()


@dataclass(frozen=True)
class PruneContext:
    """What pruning needs of the task. Models are passed in eval mode, and left as they are."""

    example_inputs: tuple[Tensor, ...]
    loss: Callable[[nn.Module], Tensor]
    """Mean loss on fixed calibration batches, scalar, differentiable."""
    score: Callable[[int], Score]
    """What scores so many models that have lost something and were not trained since."""
    finetune: Callable[[nn.Module, int], None]
    """Fine-tune in place after step 1, 2, ..., but not after the last."""
    progress: Progress = silent
    """(what, done, total)."""
    speed_of: SpeedOf | None = None
    """What predicts and measures latencies; needed by allocation: latency."""
    scanned: Callable[[Callable[[], Sensitivity]], Sensitivity] = _now
    """Gives what a scan finds, done now or before: it is the same however much goes afterwards."""
