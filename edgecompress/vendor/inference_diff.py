"""TFLite's `inference_diff`: a model on a delegate against the same on the CPU.

Format: tensorflow/lite/tools/evaluation/tasks/inference_diff.
"""

import re

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import (
    LABELLED,
    MS_PER_US,
    NUMBER,
    SIGNED,
    VendorText,
    integer,
    left_over,
    matches,
    messages,
    number,
    only,
    scaled,
)

RUNS = re.compile(r"Num evaluation runs: (?P<runs>[0-9]+)")
LATENCY = re.compile(
    rf"(?P<who>Reference|Test) run latency: avg=(?P<mean>{NUMBER})\(us\), "
    rf"std_dev=(?P<std>{NUMBER})\(us\)"
)
ERROR = re.compile(
    rf"OutputDiff\[(?P<index>[0-9]+)\]: avg_error=(?P<mean>{SIGNED}), std_dev=(?P<std>{NUMBER})"
)
DATA = re.compile(rf"^Num evaluation runs|run latency|OutputDiff|{LABELLED}", re.ASCII)


class OutputDifference(Spec):
    """Over all values of all runs, in the units of the output."""

    index: int
    mean_error: float
    std_error: float


class InferenceDiff(VendorText):
    failure: str | None
    runs: int | None
    reference_latency_ms_mean: float | None
    """On one thread of the CPU."""
    reference_latency_ms_std: float | None
    latency_ms_mean: float | None
    latency_ms_std: float | None
    outputs: tuple[OutputDifference, ...]

    @property
    def passed(self) -> bool:
        return self.failure is None


def parse_inference_diff(text: str) -> InferenceDiff:
    """Read what one run printed; a success has both latencies and a difference."""
    lines = [line for _, line in messages(text)]
    latencies = matches(LATENCY, lines)

    def latency_ms(who: str, what: str) -> float | None:
        return only(scaled(found[what], MS_PER_US) for found in latencies if found["who"] == who)

    reference, test = latency_ms("Reference", "mean"), latency_ms("Test", "mean")
    outputs = tuple(
        OutputDifference(index=index, mean_error=mean, std_error=std)
        for found in matches(ERROR, lines)
        if (index := integer(found["index"])) is not None
        and (mean := number(found["mean"])) is not None
        and (std := number(found["std"])) is not None
    )
    is_whole = reference is not None and test is not None and bool(outputs)
    return InferenceDiff(
        failure=None if is_whole else "the log is not complete: it needs latencies and OutputDiff",
        runs=only(integer(found["runs"]) for found in matches(RUNS, lines)),
        reference_latency_ms_mean=reference,
        reference_latency_ms_std=latency_ms("Reference", "std"),
        latency_ms_mean=test,
        latency_ms_std=latency_ms("Test", "std"),
        outputs=outputs,
        unread=left_over(lines, DATA, (RUNS, LATENCY, ERROR)),
    )
