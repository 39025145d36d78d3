"""How many units each group keeps so that a device takes less time, at the least loss.

A table of single layers' latencies over their channel counts predicts the whole model, as in
NetAdapt (Yang et al., 2018); units go where the least score is lost per millisecond saved, which is
HALP's ratio of importance to latency (Shen et al., 2022), taken greedily because one group's price
depends on what the others keep. Then the smaller model is measured, and the aim corrected by what
the prediction missed.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from torch import nn

from edgecompress.compress.allocate import (
    Bound,
    Kept,
    Sensitivity,
    Space,
    cheapest,
    whole,
)
from edgecompress.errors import ModelError

TRIALS = 3
"""So many models are measured at most; each costs an export."""
CLOSE = 1.03
"""A model this many times faster than asked loses more than it must."""

LEAST_SHARE = 0.01
"""No model is predicted to take less of what the original takes."""

Counts = Mapping[str, tuple[int, int]]
"""Input and output channels of every layer that a group touches."""


class Span(NamedTuple):
    """Which channel counts a layer can come to have."""

    least: tuple[int, int]
    most: tuple[int, int]
    """Inputs and outputs, as `Counts` has them."""


class Speed(Protocol):
    """What is known of a device, for one model."""

    original_ms: float
    """Measured: latency of the model before anything went."""

    def predicted_ms(self, counts: Counts) -> float:
        """Latency of the whole model, from the table."""

    def measured_ms(self, model: nn.Module) -> float:
        """Latency of a smaller one, in the clock of the table."""

    def choose(self, asked: float, predicted_ms: float, measured_ms: float) -> None:
        """Told of what is taken, and how many times lower its latency had to be."""


class Asked(NamedTuple):
    """What is asked about."""

    original: nn.Module
    """Before anything went."""
    model: nn.Module
    """As it is now."""
    least: nn.Module
    """With the fewest channels."""
    spans: Mapping[str, Span]
    """How many channels its layers may come to have."""


SpeedOf = Callable[[Asked], Speed]


class MeasuredSpeed(NamedTuple):
    """A device, and what makes models for it."""

    speed: Speed
    smaller: Callable[[Kept], nn.Module]
    """The model with so many units of each group."""


def spans(space: Space) -> dict[str, Span]:
    """The layers whose channels may go, and how far."""
    least, most = counts(space, space.least()), counts(space, whole(space))
    return {name: Span(least[name], most[name]) for name in most}


def counts(space: Space, kept: Kept) -> dict[str, tuple[int, int]]:
    """Channels of every layer that a group touches, with so many units kept. The side of a layer
    that no group touches has 0 here, which stands for `as it is`.
    """
    left = dict(space.totals)
    for group, k in zip(space.groups, kept, strict=True):
        for slot in group.slots:
            if slot in left:
                left[slot] -= (len(group.units) - k) * group.width(slot)
    found: dict[str, tuple[int, int]] = {}
    for slot, channels in left.items():
        inputs, outputs = found.get(slot.layer, (0, 0))
        found[slot.layer] = (channels, outputs) if slot.side == "in" else (inputs, channels)
    return found


def for_latency(
    space: Space, scan: Callable[[], Sensitivity], given: MeasuredSpeed, reduction: float
) -> Kept:
    """The units to keep.

    Args:
        space: the groups.
        scan: what each costs; it takes long.
        given: the device.
        reduction: how many times lower the latency is to be.

    Raises:
        ModelError: not even the least that may be kept is predicted to be so fast.

    """
    speed, smaller = given
    original_ms = speed.original_ms

    def predicted_ms(kept: Kept) -> float:
        # Of a model whose layers all seem to take nothing, no more is known than that it is fast.
        return max(speed.predicted_ms(counts(space, kept)), LEAST_SHARE * original_ms)

    def harm(kept: Kept) -> float:
        return sum(sensitivity.drop(i, level) for i, level in enumerate(kept))

    def tried(kept: Kept) -> _Trial:
        return _Trial(kept, predicted_ms(kept), speed.measured_ms(smaller(kept)))

    most = original_ms / predicted_ms(space.least())
    if most < reduction:
        raise ModelError(
            f"prune.latency_reduction {reduction} cannot be reached: on this device the"
            f" prunable channels allow at most {most:.2f} with round_to {space.round_to}; ask for"
            " less"
        )
    sensitivity = scan()
    aim, trials = reduction, list[_Trial]()
    for _ in range(TRIALS):
        kept = cheapest(space, sensitivity, Bound(predicted_ms, original_ms / aim))
        if any(kept == trial.kept for trial in trials):
            break
        trials.append(tried(kept))
        achieved = original_ms / trials[-1].measured_ms
        if reduction <= achieved <= reduction * CLOSE:
            break
        # What was predicted of it came to `achieved`: ask for as much more or less as that missed.
        aim = original_ms / trials[-1].predicted_ms * reduction / achieved
        aim = min(max(aim, 1.0), most)
    reached = [trial for trial in trials if trial.measured_ms * reduction <= original_ms]
    # Where none is as fast as asked, the fastest; the report says how fast that is.
    chosen = (
        min(reached, key=lambda trial: harm(trial.kept))
        if reached
        else min(trials, key=lambda trial: trial.measured_ms)
    )
    speed.choose(reduction, chosen.predicted_ms, chosen.measured_ms)
    return chosen.kept


class _Trial(NamedTuple):
    kept: Kept
    predicted_ms: float
    measured_ms: float
