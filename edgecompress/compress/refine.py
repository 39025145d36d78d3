"""What a recipe asks to be made better in a calibrated graph, layer by layer, without training."""

from collections import Counter
from collections.abc import Callable, Sequence

from torch import Tensor

from edgecompress.compress.bias_correction import correct_bias
from edgecompress.compress.quantize import Prepared
from edgecompress.compress.rounding import Rounded, round_adaptively
from edgecompress.compress.side_by_side import Layer, Seen, layers_of, walk
from edgecompress.spec.deploy import QuantizeSpec
from edgecompress.task.base import Batch, inputs_of


def refine(
    prepared: Prepared,
    batches: Sequence[Batch],
    spec: QuantizeSpec,
    on_layer: Callable[[int, int, str], None] = lambda *_: None,
) -> None:
    """Round weights adaptively and correct biases, in place, as far as `spec` asks. What was done
    is added to the graph's notes.

    Args:
        prepared: calibrated.
        batches: of calibration data.
        spec: the recipe's section.
        on_layer: is told which layer of how many is next, and its name.

    """
    rounds = spec.rounding == "adaptive"
    if not rounds and not spec.correct_biases:
        return
    count, done = len(layers_of(prepared.graph)), 0
    rounded: list[Rounded] = []
    corrected = 0

    def visit(layer: Layer, seen: Seen) -> None:
        nonlocal done, corrected
        on_layer(done, count, layer.name)
        if rounds:
            rounded.append(round_adaptively(layer, seen))
        if spec.correct_biases:
            corrected += correct_bias(layer, seen) > 0
        done += 1

    inputs = [inputs_of(batch) for batch in batches]
    alike = _alike(inputs)
    walk(prepared, alike, visit)
    if rounds:
        prepared.notes += (_told(rounded),)
    if len(alike) < len(inputs):
        left_out = len(inputs) - len(alike)
        prepared.notes += (
            f"{left_out} of {len(inputs)} calibration batches have another shape than most:"
            " rounding and biases do not go by them",
        )
    if spec.correct_biases:
        prepared.notes += (f"correct_biases: {corrected} of {count} layers have another bias",)


def _alike(inputs: Sequence[tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
    """Those of the commonest shape but for the first dimension: the last batch may be a short one
    where samples are not counted by the first, or sequences may be of any length.
    """
    shapes = [tuple(tuple(x.shape[1:]) for x in each) for each in inputs]
    commonest = Counter(shapes).most_common(1)
    return [each for each, shape in zip(inputs, shapes, strict=True) if shape == commonest[0][0]]


def _told(rows: Sequence[Rounded]) -> str:
    """'rounding: adaptive leaves 0.41 of the squared error of the layers ..'"""
    ratios = sorted(row.adaptive / row.nearest for row in rows if row.nearest > 0)
    if not ratios:
        return "rounding: adaptive found nothing to round"
    middle = ratios[len(ratios) // 2]
    return (
        f"rounding: adaptive leaves {middle:.2f} of the squared error that rounding to the nearest"
        f" leaves in the middle one of {len(ratios)} layers ({ratios[0]:.2f} to {ratios[-1]:.2f}),"
        " on held-out calibration samples"
    )
