"""What a recipe asks to be changed in a captured float graph before anything is quantised."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from edgecompress.compress.equalise import Equalised, equalise
from edgecompress.compress.fx import ATEN, fake, hold, only_user, optional_input
from edgecompress.compress.operators import WEIGHTED
from edgecompress.errors import ModelError
from edgecompress.spec.deploy import QuantizeSpec
from edgecompress.task.base import tensors_of

_SAME = 1e-3
"""No output may change by more than this share of the largest; float32 rounds to 1e-7, and a
deep network adds that up.
"""
_NAMED = 6


def refine_float(
    gm: GraphModule, example_inputs: tuple[Tensor, ...], spec: QuantizeSpec
) -> tuple[str, ...]:
    """Equalise channels and give biases, in place, as far as `spec` asks.

    Returns:
        What was done, for a report.

    Raises:
        ModelError: equalising changed what the model computes.

    """
    if spec.correct_biases:
        _give_biases(gm)
    if not spec.equalise:
        return ()
    before = _outputs(gm, example_inputs)
    done = equalise(gm)
    for original, changed in zip(before, _outputs(gm, example_inputs), strict=True):
        finite = original.isfinite()
        most = (changed - original)[finite].abs().max() if finite.any() else torch.zeros(())
        if not most <= _SAME * original[finite].abs().max():
            raise ModelError(
                f"quantize.equalise changes the outputs by {most:.3g}, because the model computes"
                " beyond what float32 can tell apart; remove it"
            )
    return (_told(done),)


def _give_biases(gm: GraphModule) -> None:
    """Give each layer of a captured float graph a bias to correct, of zero, where it has none and
    no batch norm follows; in place.
    """
    for node in list(gm.graph.nodes):
        following = only_user(node)
        normed = following is not None and following.target is ATEN.batch_norm.default
        if node.target not in WEIGHTED or optional_input(node, 2) is not None or normed:
            continue
        value = fake(node)
        channels = int(value.shape[-1 if node.target is ATEN.linear.default else 1])
        zeros = torch.zeros(channels, dtype=value.dtype)
        bias = hold(gm, node, f"{node.name}_bias", nn.Parameter(zeros))
        node.args = (*node.args[:2], bias, *node.args[3:])
    gm.recompile()


def _outputs(gm: GraphModule, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return [x.double() for x in tensors_of(gm(*inputs)) if x.is_floating_point() and x.numel()]


def _told(done: Equalised) -> str:
    pairs = [f"{before} and {after}" for before, after in done.pairs]
    left = [f"{name} ({why})" for name, why in done.left]
    return (
        f"equalise: {len(pairs)} pairs of layers{_some(pairs)};"
        f" as they were: {len(left)}{_some(left)}"
    )


def _some(items: list[str]) -> str:
    if not items:
        return ""
    more = f", and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return f": {', '.join(items[:_NAMED])}{more}"
