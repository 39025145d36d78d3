"""Whether the metric keeps its budget, and whether that budget can be meant."""

from collections.abc import Iterator

from edgecompress.report.checks import at_most, check, passed_if
from edgecompress.report.figures import apart, metric_name, plain
from edgecompress.spec.accuracy import MetricChange
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.report import Check, MetricValue

LARGEST_DROP = 0.2
"""The most that a metric between 0 and 1 may lose. Who allows more has nearly always written
percent: 1 for 0.01."""


def metric_checks(
    budgets: Budgets, before: MetricValue, after: MetricValue, change: MetricChange | None = None
) -> Iterator[Check]:
    """The baseline's metric against the candidate's.

    The interval of the change decides: its whole must keep the budget, or break it. Without one, as
    in a report of an earlier edgecompress, the two values do.

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
            f"metric {metric_name(after.name)} on {after.samples} samples cannot be compared with"
            f" the baseline's {metric_name(before.name)} on {before.samples}",
        )
        return
    drop = before.value - after.value if after.higher_is_better else after.value - before.value
    limit = budgets.max_metric_drop
    yield _within_budget(budgets, before, after, change)
    if limit > LARGEST_DROP and _is_share(before, after):
        text = (
            f"max_metric_drop {limit:g} allows {metric_name(after.name)}, which is between 0 and 1,"
            f" to lose {min(limit, 1.0):.0%} of the whole; 0.01 is one point: correct it in"
            " deploy.yaml"
        )
        if drop > LARGEST_DROP:
            text = f"{text}; more than {LARGEST_DROP:g} never ships"
            yield check("metric", "fail", text, at_most("metric_drop", drop, LARGEST_DROP))
        else:
            asked = at_most("max_metric_drop", limit, LARGEST_DROP)
            yield check("metric", "warning", text, asked)


def _within_budget(
    budgets: Budgets, before: MetricValue, after: MetricValue, change: MetricChange | None
) -> Check:
    drop = before.value - after.value if after.higher_is_better else after.value - before.value
    limit = budgets.max_metric_drop
    keeps = budgets.allow(before.value, after.value, higher_is_better=after.higher_is_better)
    figure, reference = apart(after.value, before.value, plain)
    amount, bound = apart(abs(drop), limit, plain)
    worse = f"{amount} {'worse' if drop > 0 else 'better'}" if drop else "equal"
    text = (
        f"{metric_name(after.name)} is {figure}, the baseline's {reference}: {worse}{_seen(change)}"
    )
    text = f"{text}; at most {bound} worse allowed"
    asked = at_most("metric_drop", drop, limit)
    if change is None:
        return passed_if(keeps, "metric", text, asked)
    ends = (asked, at_most("metric_drop_low", change.low, limit))
    figures = (*ends, at_most("metric_drop_high", change.high, limit))
    kept = change.judged(limit)
    if kept != "cannot tell":
        return passed_if(kept == "kept", "metric", text, *figures)
    text = f"{change.samples:,} samples cannot tell: {text}; {_wanted(change, limit)}"
    if not budgets.accept_uncertain:
        return check("metric", "unmeasured", text, *figures)
    text = f"{text}; accept_uncertain lets the value decide that was found"
    return check("metric", "warning" if keeps else "fail", text, *figures)


def _seen(change: MetricChange | None) -> str:
    """' (90 % interval 0.0012 better to 0.0052 worse; 5 of 500 answers changed, ..)'."""
    if change is None:
        return ""
    parts = []
    if change.low is not None and change.high is not None and change.method != "same":
        ends = f"{_signed(change.low)} to {_signed(change.high)}"
        parts.append(f"{change.confidence:.0%} interval {ends}".replace("%", " %"))
    if (answers := change.answers) is not None:
        worse, better = answers.right_to_wrong, answers.wrong_to_right
        changed = worse + better if answers.changed is None else answers.changed
        parts.append(
            f"{changed:,} of {change.samples:,} answers changed: {worse:,} from right to wrong,"
            f" {better:,} from wrong to right"
        )
    return f" ({'; '.join(parts)})" if parts else ""


def _signed(drop: float) -> str:
    return f"{plain(abs(drop))} {'better' if drop < 0 else 'worse'}"


def _wanted(change: MetricChange, limit: float) -> str:
    needed = change.needed(limit)
    if needed is not None:
        return f"about {needed:,} samples are needed"
    if change.low is None:
        return "the evaluation set cannot be divided, so nothing tells how the loss varies"
    if limit == 0:
        return "that nothing at all is lost can be shown by no number of samples"
    return "the loss is so near to what is allowed that no number of samples would tell"


def _is_share(before: MetricValue, after: MetricValue) -> bool:
    """Between 0 and 1: its class says so, or it is one where more is better, as an accuracy, an F1
    or an IoU is, and the values look so. An error may be small in any unit.

    The candidate may lie beyond the worse end: it must not become acceptable by being still worse.
    """
    best = 1.0 if after.higher_is_better else 0.0
    beyond = after.value > best if after.higher_is_better else after.value < best
    inside = 0 <= before.value <= 1 and not beyond
    return inside and (after.is_share or after.higher_is_better)
