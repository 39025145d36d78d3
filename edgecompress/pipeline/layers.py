"""`edgecompress compare A B --layers`: the first layer at which two files part."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.errors import ArtifactError, in_place_of
from edgecompress.formats.base import Activation
from edgecompress.measure.agent import Agent, Inference
from edgecompress.measure.tensors import (
    Array,
    feed,
    numbers_in,
    random_inputs,
    read_npz,
    write_npz,
)
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.pairing import Pairing, pair
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.runtimes import formats
from edgecompress.spec.layers import LayerComparison, LayerDifference, UnpairedActivation
from edgecompress.spec.load import load_deploy

if TYPE_CHECKING:
    from edgecompress.task.base import Batch

Steps = NDArray[np.int32]

SAMPLES = 32
NUMBERS = 1 << 22
"""The most of one input over all samples, where it is random: large inputs are fewer."""


Samples = Callable[[], list[Array]]
"""Gives a stack of samples for each input, in the layout of a torch model."""


def compare_layers(
    a: Path, b: Path, config: Path | Samples | None, max_steps: float
) -> LayerComparison:
    """Run both files here and compare what they compute inside.

    Activations are matched by the layers that they come from, which every file names as the user's
    model does, and by their scale, which files of one training share: an x86 file that was shifted
    to uint8, a TFLite file and one for TensorRT all have it. What is not proven to be the same
    is not compared, and listed.

    Args:
        a: a quantised file.
        b: another of the same training, of any format.
        config: deploy.yaml, whose task gives the inputs, or what gives them; None: random ones.
        max_steps: how far apart the activations of a layer may be.

    Raises:
        ArtifactError: a file cannot be read, is not quantised, or they have nothing in common.
        BadInput: deploy.yaml, or the task.
        DeviceError: a runtime is not installed here.

    """
    files = describe_file(a), describe_file(b)
    _check_inputs(*files)
    if config is None:
        inputs = _random(files[0])
    else:
        inputs = _from_task(config) if isinstance(config, Path) else config()
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        agent = agent_on(HERE, Path(name))
        sides = [_Side(file, Path(name) / str(place)) for place, file in enumerate(files)]
        pairing = pair(*(side.activations for side in sides))
        agent = agent_on(HERE, Path(name))
        for side in sides if pairing.pairs else ():
            side.run(agent, inputs)
        layers, unlike = _differences(pairing, *sides)
    if not layers:
        raise ArtifactError(
            f"{b}: has no activation in common with {a}; compare files of one training"
        )
    apart = (layer.layer for layer in layers if layer.max_steps > max_steps)
    return LayerComparison(
        samples=len(inputs[0]),
        layers=layers,
        first_apart=next(apart, None),
        unpaired=(*unlike, *pairing.unpaired),
    )


def _check_inputs(a: Artifact, b: Artifact) -> None:
    """Check that both files take the same inputs, before anything is made up or run for them.

    Raises:
        ArtifactError: they do not take the same arrays, batches aside, or none of a batch.

    """
    taken = [list(map(_input_shape, artifact.inputs)) for artifact in (a, b)]
    for artifact, shapes in zip((a, b), taken, strict=True):
        if not all(shapes):
            raise ArtifactError(f"{artifact.path}: has an input without a batch; none can be given")
    free = all(
        len(one) == len(other)
        and all(_fits(size, same) for size, same in zip(one[1:], other[1:], strict=True))
        for one, other in zip(*taken, strict=False)
    )
    if len(taken[0]) != len(taken[1]) or not free:
        raise ArtifactError(
            f"{b.path}: takes inputs of {taken[1]}, {a.path} of {taken[0]}; compare files of one"
            " training"
        )


def _input_shape(info: TensorInfo) -> tuple[int | str, ...]:
    """In the layout of a torch model."""
    if info.layout == "nhwc" and len(info.shape) == 4:
        return tuple(info.shape[axis] for axis in (0, 3, 1, 2))
    return info.shape


def _fits(a: int | str, b: int | str) -> bool:
    return isinstance(a, str) or isinstance(b, str) or a == b


class _Side:
    """One file that gives its activations, and what they were."""

    def __init__(self, artifact: Artifact, folder: Path) -> None:
        folder.mkdir()
        copy = folder / f"exposed{artifact.path.suffix}"
        with in_place_of(artifact.path, copy):
            exposed = formats()[artifact.format][0].expose(artifact, copy)
        if not exposed.activations:
            raise ArtifactError(f"{artifact.path}: nothing in it is quantised; compare int8 files")
        self._file, self._folder, self._original = exposed.artifact, folder, artifact.path
        self._arrays: dict[str, Array] = {}
        self.activations = exposed.activations

    def run(self, agent: Agent, inputs: list[Array]) -> None:
        given, outputs = self._folder / "inputs.npz", self._folder / "outputs.npz"
        with in_place_of(self._original, self._file.path):
            write_npz(given, feed(self._file, inputs))
            agent.infer(loaded_here(self._file), Inference(given, outputs))
            self._arrays = read_npz(outputs)

    def steps(self, activation: Activation) -> Steps:
        """An activation's integers without their zero point, [N, ..]."""
        integers: Steps = self._arrays[activation.output].astype(np.int32)
        integers -= np.int32(activation.zero_point)
        return integers


def _differences(
    pairing: Pairing, a: _Side, b: _Side
) -> tuple[tuple[LayerDifference, ...], list[UnpairedActivation]]:
    """How far each pair is apart, and those pairs whose shapes say that they are none."""
    differences, unlike = [], []
    for ours, theirs in pairing.pairs:
        one, other = a.steps(ours), b.steps(theirs)
        difference = _difference(ours.layer, one, other)
        if difference is not None:
            differences.append(difference)
            continue
        reason = f"its shape is {list(one.shape)} here and {list(other.shape)} there"
        unlike.append(UnpairedActivation(file="a", layer=ours.layer, reason=reason))
    return tuple(differences), unlike


def _difference(layer: str, one: Steps, other: Steps) -> LayerDifference | None:
    """None where they have shapes that no layout explains."""
    differences = [np.abs(squeezed - like) for squeezed, like in _arranged(one, other)]
    if not differences:
        return None
    # Of two arrangements with equal shapes the wrong one is far off.
    least = min(differences, key=lambda found: float(found.mean()))
    return LayerDifference(
        layer=layer,
        max_steps=float(least.max(initial=0)),
        differing=float((least > 0).mean()),
    )


def _arranged(one: Steps, other: Steps) -> Iterator[tuple[Steps, Steps]]:
    """Both without dimensions of 1, in each layout in which they have one shape: files keep
    channels first or last, and one-dimensional signals as images of one row.
    """
    one, other = (array.reshape(len(array), *_sizes(array)) for array in (one, other))
    layouts = [other]
    if other.ndim > 2:
        layouts += [np.moveaxis(other, 1, -1), np.moveaxis(other, -1, 1)]
    return ((one, layout) for layout in layouts if layout.shape == one.shape)


def _sizes(array: Steps) -> list[int]:
    return [size for size in array.shape[1:] if size != 1]


def _random(artifact: Artifact) -> list[Array]:
    """In the layout of a torch model."""
    count = max(1, min(SAMPLES, NUMBERS // max(1, *map(numbers_in, artifact.inputs))))
    samples = [random_inputs(artifact, seed) for seed in range(count)]
    return [np.concatenate(column) for column in zip(*samples, strict=True)]


def _from_task(config: Path) -> list[Array]:
    """The first samples of the evaluation set."""
    # Imports torch.
    from edgecompress.pipeline.loading import seeded_task

    return stacked(seeded_task(load_deploy(config), config.parent).eval_data())


def stacked(data: "Iterable[Batch]") -> list[Array]:
    """The first samples of batches."""
    from edgecompress.task.base import inputs_of

    batches = [[tensor.numpy() for tensor in inputs_of(batch)] for batch in islice(data, SAMPLES)]
    return [np.concatenate(column)[:SAMPLES] for column in zip(*batches, strict=True)]
