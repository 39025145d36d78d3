"""The invariant that makes 'never corrupt' true: removing channels equals masking them.

Compared in float64 on a copy whose parameters are stirred, because what is checked is the
structure: a branch that happens to be dead (zero-initialised, say) would pass with any cut.
"""

import math
import random

import torch
from torch import Tensor, nn

from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.groups import ChannelGroup, Cuts, merge
from edgecompress.compress.in_training import failure_in_training, trains_otherwise
from edgecompress.compress.probe import (
    Inputs,
    cast_floats,
    distance,
    followed,
    probes,
    run,
    run_all,
    shapes,
    stir,
)
from edgecompress.compress.surgery import cut, masked
from edgecompress.errors import ModelError

REFUSED_KINDS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.LayerNorm, "normalises over these channels"),
    (nn.GroupNorm, "normalises over these channels"),
    (nn.MultiheadAttention, "splits these channels into heads"),
    (nn.RNNBase, "is kept whole"),
)


NOISE = {torch.float64: 1e-11, torch.float32: 1e-4}
"""Rounding that adds up through a deep network, relative to the largest output."""


def is_rounding(error_size: float, effect: float, dtype: torch.dtype) -> bool:
    """A wrong index is as large an error as the effect of masking itself; rounding is far smaller.
    Both are in units of the outputs' size.
    """
    return error_size <= max(0.01 * effect, NOISE[dtype])


def matters(effect: float, dtype: torch.dtype) -> bool:
    """Whether masking changes the outputs by so much that something can be proved of it."""
    return effect > math.sqrt(torch.finfo(dtype).eps)


class Structure:
    """A model with stirred parameters, on which cuts are tried."""

    def __init__(self, model: nn.Module, probes: list[Inputs]) -> None:
        self.probes = probes
        self.model, self.dtype = stir(model, probes)
        self.reference = run_all(self.model, probes, self.dtype)
        self._batch = cast_floats(probes[-1], self.dtype)
        self._trains_otherwise = trains_otherwise(self.model, self._batch)

    def failure(self, cuts: Cuts, must_matter: bool) -> str | None:
        """Why the cut is wrong; None when it equals the mask.

        Args:
            cuts: what to remove.
            must_matter: whether channels that no output depends on, of which nothing can be
                proved, count as a failure. Dead channels are what a real cut should choose.

        """
        try:
            smaller = cut(self.model, cuts)
            found = run_all(smaller, self.probes, self.dtype)
        except Exception as error:
            # Any failure of a trial cut, in torch or in the model, means: keep these whole.
            line = " ".join(str(error).split())
            return (
                "forward() depends on their number, and without some of them it fails"
                f" ({type(error).__name__}: {line[:120]})"
            )
        with masked(self.model, cuts):
            wanted = run_all(self.model, self.probes, self.dtype)
        if [shapes(outputs) for outputs in found] != [shapes(outputs) for outputs in wanted]:
            return "its channels are the model's output"
        error_size, effect = distance(found, wanted), distance(self.reference, wanted)
        if must_matter and not matters(effect, self.dtype):
            return "masking them changes no output, so a cut cannot be checked"
        if not is_rounding(error_size, effect, self.dtype):
            return (
                "removing them is not the same as masking them: something on their way mixes,"
                f" moves or counts channels (outputs differ by {error_size:.2g} of their size)"
            )
        return failure_in_training(smaller, self._batch) if self._trains_otherwise else None


class Checker:
    """Checks cuts of one model on the example inputs and on random ones, batch 2 where allowed.

    Raises (by its constructor):
        ModelError: the model fails on the example inputs, or its outputs there are not finite,
            or not the same twice.

    """

    def __init__(self, model: nn.Module, example_inputs: Inputs) -> None:
        self.model = model
        self.inputs = example_inputs
        try:
            first, second = (run(model, example_inputs) for _ in range(2))
        except Exception as error:
            # Raised by the user's forward(), so of any kind.
            raise ModelError(
                f"model: fails on its own example inputs ({type(error).__name__}: {error});"
                " mend the task's model() or example_inputs()"
            ) from error
        if any(not torch.equal(a, b) for a, b in zip(first, second, strict=True)):
            raise ModelError(
                "model: two runs on the same input in eval mode differ, or are not finite, so"
                " pruning cannot be checked; remove randomness from forward()"
            )
        self.probes = probes(model, example_inputs)
        self._structure = Structure(model, self.probes)

    def reason(self, group: ChannelGroup, round_to: int) -> str | None:
        """Why `group` must be kept whole; None when a random half of it can be cut, and all but
        the least that is ever kept.
        """
        for slot in group.slots:
            layer = self.model.get_submodule(slot.layer) if slot.side in ("in", "out") else None
            for kind, text in REFUSED_KINDS:
                if isinstance(layer, kind):
                    return f"{type(layer).__name__} '{slot.layer}' {text}"
            weight = getattr(layer, "weight", None)
            if isinstance(weight, Tensor) and not isinstance(weight, nn.Parameter):
                return (
                    f"the weight of '{slot.layer}' is computed from other parameters, as under"
                    " weight norm"
                )
        if not any(slot.side == "in" for slot in group.slots):
            return "no layer reads its channels: they are an output, or used by a function"
        levels = group.levels(round_to)
        if len(levels) == 1:
            return f"has {_channels(group)} channels, not more than one step of {round_to}"
        # A fixed seed, and not the first channels: those can match by chance.
        order = random.Random(0).sample(group.units, len(group.units))  # noqa: S311
        for kept in (levels[len(levels) // 2], levels[-1]):
            why = self._structure.failure(merge(order[kept:]), must_matter=True)
            if why:
                return why
        return None

    def confirm(self, model: nn.Module, pruned: nn.Module, cuts: Cuts) -> None:
        """The whole cut, with the weights as they are and with stirred ones.

        Args:
            model: before the cut.
            pruned: after it.
            cuts: what was cut.

        Raises:
            ModelError: the outputs of `pruned` are not those of `model` with the cut masked.

        """
        dtype = self._structure.dtype
        twin, result = duplicate(model).to(dtype), duplicate(pruned).to(dtype)
        with masked(twin, cuts):
            wanted = run_all(twin, self.probes, dtype)
        same = distance(run_all(result, self.probes, dtype), wanted) <= NOISE[dtype]
        if not same or Structure(model, self.probes).failure(cuts, must_matter=False):
            raise ModelError(
                "model: pruned as a whole it differs from its masked original, although each"
                " group alone does not; name one of the layers in prune.ignored_layers"
            )

    def alive(self, pruned: nn.Module) -> None:
        """Raises ModelError when outputs changed shape, are not finite, or no longer follow an
        input that they followed before.
        """
        before, after = run(self.model, self.inputs), run(pruned, self.inputs)
        if shapes(before) != shapes(after):
            raise ModelError("model: pruning changed the shape or number of its outputs")
        if not all(bool(output.isfinite().all()) for output in after):
            raise ModelError("model: its outputs are not finite after pruning; prune less")
        # On many samples, where there are many: a small one alone can leave all ReLUs shut.
        lost = followed(self.model, self.probes[-1]) - followed(pruned, self.probes[-1])
        if lost:
            raise ModelError(
                f"model: after pruning its outputs no longer follow input {min(lost)[1]};"
                " prune less, or name a layer in prune.ignored_layers"
            )


def _channels(group: ChannelGroup) -> int:
    return len(group.units) * max(group.width(slot) for slot in group.slots if slot.side == "out")
