"""What is known of a model before it is trained: stages that cost seconds."""

from collections.abc import Sequence
from pathlib import Path

from edgecompress.compress.groups import ignored_names
from edgecompress.compress.recalibrate import recalibrated
from edgecompress.compress.score import validate
from edgecompress.errors import ModelError
from edgecompress.pipeline.job import Job, Point
from edgecompress.pipeline.stages import Output


def original_metric(job: Job, start: Point) -> float:
    """The metric of the user's model on the validation data, in torch."""

    def work(_: Path) -> Output:
        return Output({"metric": validate(start.model, job.task)})

    record = job.stages.run("validate original", job.depends_on(parent=start.key), work)
    return float(str(record.result["metric"]))


def removable_blocks(job: Job, start: Point, ignored_layers: Sequence[str]) -> int:
    """How many residual blocks of the model can go whole, where these layers must stay.

    Raises:
        SpecError: a layer in ignored_layers is unknown.

    """
    ignored = ignored_names(start.model, ignored_layers)

    def work(_: Path) -> Output:
        # It traces, and what that needs takes a second to import.
        from edgecompress.compress.blocks import BlockFinder

        try:
            found = len(BlockFinder(start.model, job.example_inputs, ignored).find().found)
        except ModelError:
            found = 0
        return Output({"blocks": found})

    depends_on = job.depends_on(parent=start.key, ignored_layers=[*sorted(ignored)])
    record = job.stages.run("find blocks", depends_on, work)
    return int(str(record.result["blocks"]))


def proxy_metric(job: Job, smaller: Point) -> float:
    """The metric of a pruned model on the validation data, with its statistics taken anew; it goes
    with what training would reach, and is no metric of anything that ships.
    """

    def work(_: Path) -> Output:
        return Output({"metric": validate(recalibrated(smaller.model, job.loss_batches), job.task)})

    record = job.stages.run("proxy", job.depends_on(parent=smaller.key), work)
    return float(str(record.result["metric"]))
