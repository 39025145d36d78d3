"""TFLite's `label_image`: what a model says of one picture, right or wrong, and how fast.

Format: tensorflow/lite/examples/label_image.
"""

import re

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import (
    NUMBER,
    VendorText,
    integer,
    left_over,
    matches,
    messages,
    number,
    only,
    unread,
)

LOADED = re.compile(r"Loaded model (?P<model>.+)")
AVERAGE = re.compile(rf"average time: (?P<ms>{NUMBER}) ms")
CLASS = re.compile(rf"(?P<score>{NUMBER}): (?P<index>[0-9]+) (?P<label>\S.*)")
DATA = re.compile(r"average time|^-?[0-9.]+%?\s*[:,]? +[0-9]+ ")


class Guess(Spec):
    score: float
    index: int
    """The number of the line in the file of labels."""
    label: str


class LabelImage(Spec):
    """One run; a delegate that was 'created' or 'applied' has proved nothing, so none is named."""

    failure: str | None
    model: str
    latency_ms_mean: float | None
    classes: tuple[Guess, ...]
    """In the order printed, the best first."""

    @property
    def passed(self) -> bool:
        return self.failure is None


class LabelImages(VendorText):
    runs: tuple[LabelImage, ...]


def parse_label_image(text: str) -> LabelImages:
    """Read the runs of a log, each from its line 'Loaded model' on."""
    runs: list[tuple[str, list[str]]] = []
    before: list[str] = []
    for _, line in messages(text):
        loaded = LOADED.fullmatch(line)
        if loaded is not None:
            runs.append((loaded["model"], []))
        else:
            (runs[-1][1] if runs else before).append(line)
    in_runs = (line for _, lines in runs for line in lines)
    return LabelImages(
        runs=tuple(_run(model, lines) for model, lines in runs),
        unread=unread((*left_over(before, DATA, ()), *left_over(in_runs, DATA, (AVERAGE, CLASS)))),
    )


def _run(model: str, lines: list[str]) -> LabelImage:
    mean_ms = only(number(found["ms"]) for found in matches(AVERAGE, lines))
    classes = tuple(
        Guess(score=score, index=index, label=found["label"])
        for found in matches(CLASS, lines)
        if (score := number(found["score"])) is not None
        and (index := integer(found["index"])) is not None
    )
    is_whole = mean_ms is not None and bool(classes)
    return LabelImage(
        failure=None if is_whole else "the log is not complete: it needs a time and classes",
        model=model,
        latency_ms_mean=mean_ms,
        classes=classes,
    )
