"""The budget of the metric, and budgets that cannot be meant."""

import pytest

from edgecompress.report.metric import metric_checks
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.report import MetricValue


def metric(value: float, higher: bool = True, *, is_share: bool = False) -> MetricValue:
    return MetricValue(
        name="Metric", value=value, higher_is_better=higher, samples=100, is_share=is_share
    )


def statuses(limit: float, before: MetricValue, after: MetricValue) -> list[str]:
    return [one.outcome for one in metric_checks(Budgets(max_metric_drop=limit), before, after)]


@pytest.mark.parametrize(
    ("limit", "before", "after", "found"),
    [
        (0.2, 0.9, 0.71, ["pass"]),
        (0.2, 0.9, 0.69, ["fail"]),
        (0.201, 0.9, 0.9, ["pass", "warning"]),
        (1.0, 0.9, 0.74, ["pass", "warning"]),
        (1.0, 0.9, 0.701, ["pass", "warning"]),
        (1.0, 0.9, 0.699, ["pass", "fail"]),
        (0.5, 0.9, 0.3, ["fail", "fail"]),
        # Not between 0 and 1: a unit of its own.
        (1.0, 31.5, 31.0, ["pass"]),
        (1.0, 0.9, 1.2, ["pass"]),
        # Worse than the worst is no unit of its own.
        (1.0, 0.5, -0.4, ["pass", "fail"]),
    ],
)
def test_of_a_metric_between_0_and_1(
    limit: float, before: float, after: float, found: list[str]
) -> None:
    assert statuses(limit, metric(before), metric(after)) == found


def test_an_error_may_be_small_in_any_unit() -> None:
    low, high = metric(0.1, higher=False), metric(0.5, higher=False)
    assert statuses(1.0, low, high) == ["pass"]
    shares = [x.model_copy(update={"is_share": True}) for x in (low, high)]
    assert statuses(1.0, shares[0], shares[1]) == ["pass", "fail"]


def test_it_says_what_to_write() -> None:
    found = list(metric_checks(Budgets(max_metric_drop=1.0), metric(0.9), metric(0.74)))
    assert found[1].text == (
        "max_metric_drop 1 allows Metric, which is between 0 and 1, to lose 100% of the whole;"
        " 0.01 is one point: correct it in deploy.yaml"
    )
