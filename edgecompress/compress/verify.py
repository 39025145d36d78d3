"""The invariant that makes 'never corrupt' true: removing channels equals masking them.

Compared in float64 on a copy whose parameters are stirred, because what is checked is the
structure: a branch that happens to be dead (zero-initialised, say) would pass with any cut.
"""

import random

import torch
from torch import nn

from edgecompress.compress.groups import ChannelGroup, Cuts, duplicate, merge
from edgecompress.compress.probe import (
    Inputs,
    cast_floats,
    distance,
    followed,
    probes,
    run,
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
        self.stirred, self.dtype = stir(model, self.probes)
        self.reference = [run(self.stirred, cast_floats(p, self.dtype)) for p in self.probes]

    def reason(self, group: ChannelGroup, round_to: int) -> str | None:
        """Why `group` must be kept whole; None when a random half of it can be cut."""
        for slot in group.slots:
            layer = None if slot.side == "parameter" else self.model.get_submodule(slot.layer)
            for kind, text in REFUSED_KINDS:
                if isinstance(layer, kind):
                    return f"{type(layer).__name__} '{slot.layer}' {text}"
        if not any(slot.side == "in" for slot in group.slots):
            return "no layer reads its channels: they are an output, or used by a function"
        levels = group.levels(round_to)
        if len(levels) == 1:
            return f"has {_channels(group)} channels, not more than one step of {round_to}"
        keep = levels[len(levels) // 2]
        # A fixed seed, and not the first channels: those can match by chance.
        removed = random.Random(0).sample(group.units, len(group.units) - keep)  # noqa: S311
        return self._compare(merge(removed))

    def _compare(self, cuts: Cuts) -> str | None:
        try:
            pruned = cut(self.stirred, cuts)
            found = [run(pruned, cast_floats(p, self.dtype)) for p in self.probes]
        except Exception as error:
            # Any failure of a trial cut, in torch or in the model, means: keep these whole.
            line = " ".join(str(error).split())
            return (
                "forward() depends on their number, and without some of them it fails"
                f" ({type(error).__name__}: {line[:120]})"
            )
        with masked(self.stirred, cuts):
            wanted = [run(self.stirred, cast_floats(p, self.dtype)) for p in self.probes]
        if [shapes(outputs) for outputs in found] != [shapes(outputs) for outputs in wanted]:
            return "its channels are the model's output"
        error_size, effect = distance(found, wanted), distance(self.reference, wanted)
        if not effect > torch.finfo(self.dtype).eps ** 0.5:
            return "masking them changes no output, so a cut cannot be checked"
        # A wrong index is as large an error as the effect itself; rounding is far smaller.
        if not error_size <= 0.01 * effect:
            return (
                "removing them is not the same as masking them: something on their way mixes,"
                f" moves or counts channels (outputs differ by {error_size / effect:.0%} of the"
                " effect)"
            )
        return None

    def confirm(self, model: nn.Module, pruned: nn.Module, cuts: Cuts) -> None:
        """The whole cut, with the weights as they are.

        Args:
            model: before the cut.
            pruned: after it.
            cuts: what was cut.

        Raises:
            ModelError: the outputs of `pruned` are not those of `model` with the cut masked.

        """
        twin, result = duplicate(model).to(self.dtype), duplicate(pruned).to(self.dtype)
        with masked(twin, cuts):
            wanted = [run(twin, cast_floats(p, self.dtype)) for p in self.probes]
        found = [run(result, cast_floats(p, self.dtype)) for p in self.probes]
        if not distance(found, wanted) <= 100 * torch.finfo(self.dtype).eps ** 0.75:
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
        lost = followed(self.model, self.inputs) - followed(pruned, self.inputs)
        if lost:
            raise ModelError(
                f"model: after pruning its outputs no longer follow input {min(lost)[1]};"
                " prune less, or name a layer in prune.ignored_layers"
            )


def _channels(group: ChannelGroup) -> int:
    return len(group.units) * max(group.width(slot) for slot in group.slots if slot.side == "out")
