"""`edgecompress compare A B --layers`: the first layer at which two files part."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

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
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.runtimes import formats
from edgecompress.spec.load import load_deploy
from edgecompress.spec.measurement import LayerComparison, LayerDifference

Steps = NDArray[np.int32]

SAMPLES = 32
NUMBERS = 1 << 22
"""The most of one input over all samples, where it is random: large inputs are fewer."""
NHWC_TO_NCHW = (0, 3, 1, 2)


def compare_layers(a: Path, b: Path, config: Path | None, max_steps: float) -> LayerComparison:
    """Run both files here and compare what they compute inside.

    Activations are matched by their scale, which files of one training share: an x86 file that
    was shifted to uint8, a TFLite file and one for TensorRT all have it.

    Args:
        a: a quantised file.
        b: another of the same training, of any format.
        config: deploy.yaml, whose task gives the inputs; None: random ones.
        max_steps: how far apart the activations of a layer may be.

    Raises:
        ArtifactError: a file cannot be read, is not quantised, or they have nothing in common.
        BadInput: deploy.yaml, or the task.
        DeviceError: a runtime is not installed here.

    """
    files = describe_file(a), describe_file(b)
    _check_inputs(*files)
    inputs = _random(files[0]) if config is None else _from_task(config)
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        agent = agent_on(HERE, Path(name))
        sides = [_Side(agent, file, inputs, Path(name) / str(i)) for i, file in enumerate(files)]
        layers = tuple(_differences(*sides))
    if not layers:
        raise ArtifactError(
            f"{b}: has no activation in common with {a}; compare files of one training"
        )
    apart = (layer.layer for layer in layers if layer.max_steps > max_steps)
    return LayerComparison(samples=len(inputs[0]), layers=layers, first_apart=next(apart, None))


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
    """One file's activations, by their scale."""

    def __init__(self, agent: Agent, artifact: Artifact, inputs: list[Array], folder: Path) -> None:
        folder.mkdir()
        copy, outputs = folder / f"exposed{artifact.path.suffix}", folder / "outputs.npz"
        with in_place_of(artifact.path, copy):
            exposed = formats()[artifact.format][0].expose(artifact, copy)
            if not exposed.activations:
                raise ArtifactError(
                    f"{artifact.path}: nothing in it is quantised; compare int8 files"
                )
            write_npz(folder / "inputs.npz", feed(exposed.artifact, inputs))
            file = exposed.artifact
            agent.infer(loaded_here(file), Inference(folder / "inputs.npz", outputs))
            self._arrays = read_npz(outputs)
        self.activations = exposed.activations
        self.by_scale: dict[np.float32, list[Activation]] = defaultdict(list)
        for activation in exposed.activations:
            self.by_scale[np.float32(activation.scale)].append(activation)

    def steps(self, activation: Activation) -> Steps:
        """An activation's integers without their zero point, [N, ..]."""
        integers: Steps = self._arrays[activation.output].astype(np.int32)
        integers -= np.int32(activation.zero_point)
        return integers


def _differences(a: _Side, b: _Side) -> Iterator[LayerDifference]:
    taken: dict[np.float32, int] = defaultdict(int)
    for activation in a.activations:
        scale = np.float32(activation.scale)
        others, number = b.by_scale.get(scale, []), taken[scale]
        taken[scale] += 1
        if number >= len(others):
            continue
        one = a.steps(activation)
        pairs = _arranged(one, b.steps(others[number]))
        differences = [np.abs(one - other) for other in pairs]
        if differences:
            # Of two arrangements with equal shapes the wrong one is far off.
            least = min(differences, key=lambda found: float(found.mean()))
            yield LayerDifference(
                layer=activation.layer,
                max_steps=float(least.max(initial=0)),
                differing=float((least > 0).mean()),
            )


def _arranged(like: Steps, other: Steps) -> list[Steps]:
    """`other` in the layouts that have the shape of `like`: files keep channels first or last."""
    layouts = [other]
    if other.ndim == 4:
        inverse = tuple(int(axis) for axis in np.argsort(NHWC_TO_NCHW))
        layouts += [other.transpose(NHWC_TO_NCHW), other.transpose(inverse)]
    return [array for array in layouts if array.shape == like.shape]


def _random(artifact: Artifact) -> list[Array]:
    """In the layout of a torch model."""
    count = max(1, min(SAMPLES, NUMBERS // max(1, *map(numbers_in, artifact.inputs))))
    samples = [random_inputs(artifact, seed) for seed in range(count)]
    stacks = [np.concatenate(column) for column in zip(*samples, strict=True)]
    return [
        stack.transpose(NHWC_TO_NCHW) if info.layout == "nhwc" and stack.ndim == 4 else stack
        for stack, info in zip(stacks, artifact.inputs, strict=True)
    ]


def _from_task(config: Path) -> list[Array]:
    """The first samples of the evaluation set."""
    # These import torch.
    from edgecompress.pipeline.loading import seeded_task
    from edgecompress.task.base import inputs_of

    task = seeded_task(load_deploy(config), config.parent)
    batches = [
        [tensor.numpy() for tensor in inputs_of(batch)]
        for batch in islice(task.eval_data(), SAMPLES)
    ]
    return [np.concatenate(column)[:SAMPLES] for column in zip(*batches, strict=True)]
