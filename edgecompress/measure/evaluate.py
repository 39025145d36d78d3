"""The metric of an exported file: its runtime infers on the device, the host scores."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import ModelError, TaskError
from edgecompress.measure.agent import DeviceAgent, Inference, Kernels
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.order import in_order_of
from edgecompress.measure.parity import Executions, ParityChain
from edgecompress.measure.parts import Rebuild, Scored, update
from edgecompress.measure.record import Record
from edgecompress.measure.recorder import Recorder
from edgecompress.measure.tensors import Array, feed, most_bytes, outputs_of, write_npz
from edgecompress.spec.measurement import Evaluation
from edgecompress.task import Batch, ClassificationTask, Metric, Task
from edgecompress.task.base import inputs_of

SHARD_BYTES = 64 << 20
SHARD_SAMPLES = 2000
"""What one process on the device is given at most, so that a small board's memory is enough."""


@dataclass(frozen=True)
class Runs:
    """A file that a device runs on a data set."""

    agent: DeviceAgent
    file: Loaded
    workdir: Path
    """A folder here for arrays that are sent or received."""
    threads: int = 1
    """How many threads the runtime has."""
    kernels: Kernels = "default"
    """Which kernels the runtime takes; "reference" for a file that another runtime will run."""


def evaluate(
    runs: Runs,
    task: Task,
    on_progress: Callable[[int], None],
    rebuild: Rebuild | None = None,
    against: Executions | None = None,
) -> Evaluation:
    """Score the file, as its runtime executes it, on the whole evaluation set.

    Args:
        runs: the file, and where and how it is run.
        task: gives data and metric; guarded (`task.guard`), which checks its batches.
        on_progress: told the number of samples scored so far.
        rebuild: None: the tensor, or a tuple of tensors where there are several.
        against: the same model in other executions, from the one that was trained on, to report
            the parity of each with the next, the file being the last.

    Raises:
        TaskError: the evaluation set is empty or wrong, or the metric fails or gives no number.
        ModelError: the outputs do not fit the task, or are not numbers.
        ArtifactError: the file is not the one described, or the runtime cannot read it.
        DeviceError: the device, its runtime, or the way to it.

    """
    return recorded(runs, task, on_progress, rebuild, against)[0]


def recorded(
    runs: Runs,
    task: Task,
    on_progress: Callable[[int], None],
    rebuild: Rebuild | None = None,
    against: Executions | None = None,
) -> tuple[Evaluation, Record]:
    """Score the file as `evaluate` does; its answers too, for a comparison with another file's."""
    metric = task.metric()
    higher_is_better = direction(metric)
    artifact = runs.file.artifact
    executions = Executions() if against is None else against
    chain = ParityChain(
        artifact,
        executions,
        gives_scores=task.gives_scores is not False,
        in_order=in_order_of(task),
    )
    recorder, samples = Recorder(task, rebuild), 0
    inferred = infer_all(runs, task.eval_data())
    for batch in scored(inferred, artifact, task, metric, rebuild):
        chain.add(batch.outputs)
        recorder.add(batch)
        samples += batch.samples
        on_progress(samples)
    evaluation = Evaluation(
        metric=type(metric).__name__,
        value=value_of(metric),
        higher_is_better=higher_is_better,
        samples=samples,
        is_share=_is_share(metric),
        parity=chain.parity(),
        hops=chain.hops(),
        original=chain.original(),
    )
    return evaluation, recorder.record(evaluation, metric)


def scored(
    inferred: Iterable[tuple[list[Array], Any]],
    artifact: Artifact,
    task: Task,
    metric: Metric,
    rebuild: Rebuild | None,
) -> Iterator[Scored]:
    """Feed `metric` with what `infer_all` gives; each batch, after that.

    Raises:
        ModelError: the outputs do not fit the task, or are not numbers.

    """
    for outputs, target in inferred:
        _check_outputs(artifact, task, outputs)
        batch = Scored(outputs, target)
        update(task, metric, rebuild, batch)
        yield batch


def infer_all(runs: Runs, batches: Iterable[Batch]) -> Iterator[tuple[list[Array], Any]]:
    """Outputs (dequantised, in the file's order, each [N, ...]) and target, batch by batch.

    The device infers sample by sample, or as many at once as the file is made for, whatever the
    size of the batches.

    Raises:
        TaskError: a batch does not fit the file's inputs.
        ArtifactError: the file is not the one described, or the runtime cannot read it.
        DeviceError: the device, its runtime, or the way to it.

    """
    artifact = runs.file.artifact
    artifact.verify()
    fed = ((feed(artifact, _arrays(batch, index)), batch[1]) for index, batch in enumerate(batches))
    for shard in _shards(fed):
        yield from _infer_shard(runs, shard)


Fed = tuple[dict[str, Array], Any]
"""The file's inputs by name, and the target."""


def _shards(fed: Iterable[Fed]) -> Iterator[list[Fed]]:
    """Whole batches together, as far as their shapes agree and the limits allow."""
    shard: list[Fed] = []
    samples = size_bytes = 0
    for batch in fed:
        inputs = batch[0]
        samples += _rows(inputs)
        size_bytes += _bytes(inputs)
        is_full = samples > SHARD_SAMPLES or size_bytes > SHARD_BYTES
        if shard and (is_full or _sample_shapes(inputs) != _sample_shapes(shard[0][0])):
            yield shard
            shard, samples, size_bytes = [], _rows(inputs), _bytes(inputs)
        shard.append(batch)
    if shard:
        yield shard


def _bytes(fed: dict[str, Array]) -> int:
    return sum(array.nbytes for array in fed.values())


def _sample_shapes(fed: dict[str, Array]) -> list[tuple[int, ...]]:
    return [array.shape[1:] for array in fed.values()]


def _infer_shard(runs: Runs, shard: list[Fed]) -> Iterator[tuple[list[Array], Any]]:
    artifact = runs.file.artifact
    stacks = {
        info.name: np.concatenate([inputs[info.name] for inputs, _ in shard])
        for info in artifact.inputs
    }
    with tempfile.TemporaryDirectory(dir=runs.workdir, prefix="shard-") as folder:
        inputs, outputs = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        write_npz(inputs, stacks)
        samples = sum(_rows(fed) for fed, _ in shard)
        inference = Inference(
            inputs,
            outputs,
            runs.threads,
            kernels=runs.kernels,
            limit_bytes=most_bytes(artifact, samples),
        )
        runs.agent.infer(runs.file, inference)
        stacked = outputs_of(artifact, outputs, samples)
    start = 0
    for fed, target in shard:
        stop = start + _rows(fed)
        yield [array[start:stop] for array in stacked], target
        start = stop


def _rows(fed: dict[str, Array]) -> int:
    return len(next(iter(fed.values())))


def _arrays(batch: Batch, index: int) -> list[Array]:
    """The batch's inputs."""
    try:
        return [tensor.detach().cpu().numpy() for tensor in inputs_of(batch)]
    except TypeError as error:
        raise TaskError(f"task: eval_data() batch {index}: {error}") from None


def _check_outputs(artifact: Artifact, task: Task, outputs: list[Array]) -> None:
    for info, array in zip(artifact.outputs, outputs, strict=True):
        if np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
            raise ModelError(
                f"{artifact.path}: output '{info.name}' holds NaN on the evaluation data;"
                " check the inputs' range and the layers that were quantised"
            )
    if isinstance(task, ClassificationTask):
        shapes = [list(array.shape) for array in outputs]
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] != task.classes:
            raise ModelError(
                f"{artifact.path}: outputs have shapes {shapes};"
                f" the task needs one of [N, {task.classes}]"
            )


def direction(metric: Metric) -> bool:
    """Whether a higher value is better. Raises TaskError when the metric does not say."""
    if metric.higher_is_better is None:
        raise TaskError(
            f"task: metric {type(metric).__name__} does not say which way is better;"
            " set its higher_is_better to True or False"
        )
    return bool(metric.higher_is_better)


def _is_share(metric: Metric) -> bool:
    """Whether the metric says so, one of torchmetrics by the limits of its plot."""
    bounds = (getattr(metric, f"plot_{end}_bound", None) for end in ("lower", "upper"))
    return getattr(metric, "is_share", None) is True or tuple(bounds) == (0.0, 1.0)


def value_of(metric: Metric) -> float:
    """What a metric says in the end. Raises TaskError when that is no finite number."""
    try:
        value = float(metric.compute())
    except Exception as error:
        raise TaskError(
            f"task: metric {type(metric).__name__} gives no single number: {error}"
        ) from error
    if not np.isfinite(value):
        raise TaskError(f"task: metric {type(metric).__name__} is {value}, not a number")
    return value
