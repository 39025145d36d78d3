"""What else was measured beside baseline and candidate, and what the verdict makes of it."""

from collections.abc import Iterator

from edgecompress.report.advice import Seen
from edgecompress.report.checks import at_least, at_most, check, passed_if
from edgecompress.report.figures import apart, factor, milliseconds, plain
from edgecompress.spec.comparison import Comparison, RivalResult
from edgecompress.spec.report import Check, ModelReport

REGRESSION = 0.02
"""A file is slower than what shipped before if it is shown to be so by more: so much does one file
differ from itself between two runs."""


def rival_checks(
    min_speedup: float, comparison: Comparison, *, accepts_regression: bool
) -> Iterator[Check]:
    """A check for each rival.

    Args:
        min_speedup: of deploy.yaml.
        comparison: valid, and of a board.
        accepts_regression: whether being slower than what shipped before was asked to be taken.

    """
    for rival in comparison.rivals:
        if rival.kind == "best float":
            yield from _faster_than_float(min_speedup, comparison, rival)
        else:
            yield _not_slower_than_before(rival, accepts_regression)


def _faster_than_float(
    min_speedup: float, comparison: Comparison, rival: RivalResult
) -> Iterator[Check]:
    after, before = comparison.candidate.latency_ms_p50, rival.measurement.latency_ms_p50
    figure, least = apart(rival.speedup, min_speedup, factor)
    low, one = apart(rival.speedup_low, 1.0, factor)
    shown = rival.speedup_low >= 1.0
    text = (
        f"{figure} as fast as {rival.name}, the fastest float original of any runtime (p50"
        f" {milliseconds(after)}, its {milliseconds(before)}; 95 % interval {low} to"
        f" {factor(rival.speedup_high)}); at least {least} asked, and a lower end of {one}"
    )
    yield passed_if(
        shown and rival.speedup >= min_speedup,
        "race",
        text,
        at_least("speedup", rival.speedup, min_speedup),
        at_least("speedup_low", rival.speedup_low, 1.0),
    )


def metric_before(candidate: ModelReport, seen: Seen) -> Iterator[Check]:
    """Whether the metric is shown to be worse than that of what shipped before.

    Each was compared with its own original on the samples that both have, so the intervals of the
    two drops are held against one another; that they do not overlap is more than needed.
    """
    before, change = seen.before, candidate.change
    if before is None or before.change is None or change is None:
        return
    if (before.metric.name, before.metric.samples) != (candidate.metric.name, change.samples):
        return
    low, high = change.low, before.change.high
    if low is None or high is None:
        return
    text = (
        f"{candidate.metric.name} {plain(candidate.metric.value)} is shown to be worse than what"
        f" run {before.run} shipped, {plain(before.metric.value)}"
    )
    figure = at_most("metric_drop_low", low, high)
    if low <= high:
        text = text.replace("is shown", "is not shown")
        yield check("history", "pass", text, figure)
    elif seen.accepts_regression:
        yield check("history", "warning", f"{text}: accepted", figure)
    else:
        advice = "to ship it nevertheless: --accept-regression"
        yield check("history", "fail", f"{text}; {advice}", figure)


def _not_slower_than_before(rival: RivalResult, accepts_regression: bool) -> Check:
    least = 1.0 - REGRESSION
    slower = rival.speedup_high < least
    low, high = factor(rival.speedup_low), factor(rival.speedup_high)
    text = f"{factor(rival.speedup)} as fast as {rival.name} (95 % interval {low} to {high})"
    figure = at_least("speedup_high", rival.speedup_high, least)
    if not slower:
        return check("history", "pass", f"{text}: not shown to be slower", figure)
    if accepts_regression:
        return check("history", "warning", f"{text}: slower, and accepted", figure)
    advice = "to ship it nevertheless: --accept-regression"
    return check("history", "fail", f"{text}: slower than what shipped before; {advice}", figure)
