"""`measure`, `inspect`, `evaluate`, `compare`: each looks at a model file, here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from typing_extensions import TypedDict, Unpack

from edgecompress import pipeline
from edgecompress.api.compressing import Data
from edgecompress.api.naming import as_arguments, check_options, told_by
from edgecompress.api.quiet import quietly
from edgecompress.api.results import (
    Comparison,
    Evaluation,
    Inspection,
    LayerComparison,
    Measurement,
    Report,
    shown_as,
)
from edgecompress.progress import Progress
from edgecompress.spec import comparison

if TYPE_CHECKING:
    from torch import nn

    from edgecompress.measure.tensors import Array

ModelFile = str | Path | Report
"""A model file, or the report whose file is meant."""


class MeasureOptions(TypedDict, total=False):
    """What `measure` may be given besides."""

    target: str
    """Whose measurement protocol to follow: a target's, or a board's; 'local' by itself."""
    threads: int
    """Instead of what the target says."""
    protocol: str
    """quick, standard, sustained, paced or throughput; else as the target says."""
    progress: bool | Progress
    """True: lines on stderr; False by itself."""


@overload
def measure(
    file: ModelFile, against: None = None, **options: Unpack[MeasureOptions]
) -> Measurement: ...


@overload
def measure(
    file: ModelFile, against: ModelFile, **options: Unpack[MeasureOptions]
) -> Comparison: ...


def measure(
    file: ModelFile, against: ModelFile | None = None, **options: Unpack[MeasureOptions]
) -> Measurement | Comparison:
    """Latency, load time and memory of a file on this machine.

    Args:
        file: any format that is known, or a report.
        against: another one, measured in turns with the first.
        options: see MeasureOptions.

    Raises:
        EdgecompressError: the file, the target, or the runtime.

    """
    check_options("measure", options, MeasureOptions)
    how = pipeline.HowMeasured(
        options.get("target", "local"), options.get("threads"), options.get("protocol")
    )
    progress = told_by(options.get("progress", False))
    other = None if against is None else _path(against)
    with quietly():
        found = pipeline.measure_file(_path(file), other, how, progress)
    if isinstance(found, comparison.Comparison):
        return shown_as(Comparison, found)
    return shown_as(Measurement, found)


def inspect(
    file: ModelFile,
    target: str | None = None,
    *,
    time: bool = False,
    folder: str | Path = ".",
) -> Inspection:
    """Every operator that the runtime really runs, with its type, and why one is not int8.

    Args:
        file: any format that is known, or a report.
        target: by whose rules; None: with the kernels of this machine.
        time: let the runtime count the time of each, here.
        folder: whose `targets/` are known too.

    Raises:
        EdgecompressError: the file, the target, or the runtime.

    """
    with quietly():
        found = pipeline.inspect_file(_path(file), target, Path(folder), time=time)
    return shown_as(Inspection, found)


def evaluate(
    file: ModelFile,
    data: Data | str | Path,
    *,
    metric: Any = None,
    model: "nn.Module | None" = None,
    progress: bool | Progress = False,
) -> Evaluation:
    """The metric of a file, computed from what its runtime puts out.

    Args:
        file: any format that is known, or a report.
        data: all evaluation batches (inputs, target); or the path of a deploy.yaml, whose task has
            data and metric.
        metric: as for `compress`; accuracy where it can be.
        model: what the file was made of, where it returns more than a tensor or a tuple of them:
            the metric is given the same structure. Where a decoder ends the file, both:
            `nn.Sequential(model, decoder)`.
        progress: True: lines on stderr.

    Raises:
        EdgecompressError: the file, the data, the metric, or the runtime.

    """
    progress, path = told_by(progress), _path(file)
    with as_arguments():
        if isinstance(data, (str, Path)):
            return shown_as(Evaluation, pipeline.evaluate_file(path, Path(data), progress))
        # These import torch.
        from edgecompress.pipeline.scoring import evaluate_given
        from edgecompress.task.given import Scoring

        found = evaluate_given(path, data, Scoring(metric), model, progress)
    return shown_as(Evaluation, found)


def compare(
    a: ModelFile, b: ModelFile, *, data: Data | str | Path | None = None, steps: float = 2.0
) -> LayerComparison:
    """The first layer at which two int8 files of one training part.

    Args:
        a: a quantised file, or a report.
        b: another one, of any format.
        data: batches that give the inputs, or the path of a deploy.yaml; None: random ones.
        steps: how far apart the activations of a layer may be, in steps of its scale.

    Raises:
        EdgecompressError: a file, the data, or a runtime.

    """
    files = _path(a), _path(b)
    if data is None or isinstance(data, (str, Path)):
        config = None if data is None else Path(data)
        with quietly():
            return shown_as(LayerComparison, pipeline.compare_layers(*files, config, steps))

    def samples() -> "list[Array]":
        # These import torch.
        from edgecompress.pipeline.layers import stacked
        from edgecompress.task.batches import check_pair
        from edgecompress.task.given import check_again, drawn

        check_again("data", data)
        batches = list(drawn(data))
        for batch in batches:
            check_pair(batch, "data")
        return stacked(batches)

    with quietly():
        return shown_as(LayerComparison, pipeline.compare_layers(*files, samples, steps))


def _path(file: ModelFile) -> Path:
    return file.file if isinstance(file, Report) else Path(file)
