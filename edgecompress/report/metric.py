"""Whether the metric keeps its budget, and whether that budget can be meant."""

from collections.abc import Iterator

from edgecompress.report.checks import at_most, check, passed_if
from edgecompress.report.figures import apart, plain
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.report import Check, MetricValue

LARGEST_DROP = 0.2
"""The most that a metric between 0 and 1 may lose. Who allows more has nearly always written
percent: 1 for 0.01."""


def metric_checks(budgets: Budgets, before: MetricValue, after: MetricValue) -> Iterator[Check]:
    """The baseline's metric against the candidate's.

    Of a metric between 0 and 1 a budget above 0.2 is told of, whatever came out, and a loss above
    0.2 does not ship, whatever the budget.
    """
    if (before.name, before.higher_is_better, before.samples) != (
        after.name,
        after.higher_is_better,
        after.samples,
    ):
        yield check(
            "metric",
            "fail",
            f"metric {after.name} on {after.samples} samples cannot be compared with the"
            f" baseline's {before.name} on {before.samples}",
        )
        return
    drop = before.value - after.value if after.higher_is_better else after.value - before.value
    limit = budgets.max_metric_drop
    yield _within_budget(budgets, before, after, drop)
    if limit > LARGEST_DROP and _is_share(before, after):
        text = (
            f"max_metric_drop {limit:g} allows {after.name}, which is between 0 and 1, to lose"
            f" {min(limit, 1.0):.0%} of the whole; 0.01 is one point: correct it in deploy.yaml"
        )
        if drop > LARGEST_DROP:
            text = f"{text}; more than {LARGEST_DROP:g} never ships"
            yield check("metric", "fail", text, at_most("metric_drop", drop, LARGEST_DROP))
        else:
            asked = at_most("max_metric_drop", limit, LARGEST_DROP)
            yield check("metric", "warning", text, asked)


def _within_budget(budgets: Budgets, before: MetricValue, after: MetricValue, drop: float) -> Check:
    figure, reference = apart(after.value, before.value, plain)
    amount, limit = apart(abs(drop), budgets.max_metric_drop, plain)
    word = "worse" if drop > 0 else "better"
    change = f"{amount} {word}" if drop else "equal"
    return passed_if(
        budgets.allow(before.value, after.value, higher_is_better=after.higher_is_better),
        "metric",
        f"{after.name} is {figure}, the baseline's {reference}: {change};"
        f" at most {limit} worse allowed",
        at_most("metric_drop", drop, budgets.max_metric_drop),
    )


def _is_share(before: MetricValue, after: MetricValue) -> bool:
    """Between 0 and 1: its class says so, or it is one where more is better, as an accuracy, an F1
    or an IoU is, and the values look so. An error may be small in any unit.

    The candidate may lie beyond the worse end: it must not become acceptable by being still worse.
    """
    best = 1.0 if after.higher_is_better else 0.0
    beyond = after.value > best if after.higher_is_better else after.value < best
    inside = 0 <= before.value <= 1 and not beyond
    return inside and (after.is_share or after.higher_is_better)
