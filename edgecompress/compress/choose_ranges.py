"""`ranges: auto`: which kind of ranges leaves the outputs nearest to those of the float graph."""

import torch
from torch import Tensor

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.observers import Ranges
from edgecompress.compress.quantize import Prepared, calibrate, forward
from edgecompress.compress.sensitivity import Ratio
from edgecompress.task.base import Batch, inputs_of

_KINDS: tuple[Ranges, ...] = ("mse", "minmax", "percentile")
_HELD_OUT = 4
"""One batch in so many, at least one, is not used to observe."""


def calibrate_best(prepared: Prepared, batches: list[Batch]) -> str:
    """Calibrate a graph that was prepared with `ranges: auto`, and say which kind it has now.

    All kinds are chosen from one pass over most of the batches and compared by the SQNR of the
    outputs on the others; of one batch the second half of the samples is held out. The winner's
    ranges are those of all batches.
    """
    seen, held_out = _split([inputs_of(batch) for batch in batches])
    calibrate(prepared, [(inputs, None) for inputs in seen])
    found, run = {}, CalibrationRun(prepared.graph)
    for kind in _KINDS:
        run.choose(kind)
        found[kind] = _decibels(prepared, held_out)
    best = max(_KINDS, key=lambda kind: found[kind])
    run.choose("auto")
    calibrate(prepared, [(inputs, None) for inputs in held_out])
    run.choose(best)
    others = ", ".join(f"{kind} {found[kind]:.1f} dB" for kind in _KINDS if kind != best)
    return (
        f"ranges: {best}, which leaves {found[best]:.1f} dB at the outputs on held-out calibration"
        f" data ({others})"
    )


def _split(
    batches: list[tuple[Tensor, ...]],
) -> tuple[list[tuple[Tensor, ...]], list[tuple[Tensor, ...]]]:
    """Those to observe, and those to compare on; the same where there is one sample only."""
    if len(batches) > 1:
        count = max(1, len(batches) // _HELD_OUT)
        return batches[:-count], batches[-count:]
    half = (len(batches[0][0]) + 1) // 2 if batches else 0
    if not batches or half == len(batches[0][0]):
        return batches, batches
    return [tuple(x[:half] for x in batches[0])], [tuple(x[half:] for x in batches[0])]


def _decibels(prepared: Prepared, held_out: list[tuple[Tensor, ...]]) -> float:
    """SQNR of the outputs with the ranges as they are, against the same graph in float."""
    ratio, run = Ratio(), CalibrationRun(prepared.graph)
    with torch.no_grad():
        for inputs in held_out:
            with run.in_float():
                original = forward(prepared, inputs)
            ratio.add(original, forward(prepared, inputs))
    return 0.0 if ratio.db is None else ratio.db
