"""The budget of the metric, and budgets that cannot be meant."""

import pytest
from judging import BASELINE, CANDIDATE, COMPARED

from edgecompress.report.metric import metric_checks
from edgecompress.report.verdict import judge
from edgecompress.spec.accuracy import AnswerChange, MetricChange
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.report import Check, MetricValue


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
        "max_metric_drop 1 allows metric, which is between 0 and 1, to lose 100% of the whole;"
        " 0.01 is one point: correct it in deploy.yaml"
    )


def changed(low: float | None, high: float | None, **more: object) -> MetricChange:
    known = {"method": "answers", "drop": 0.005, "samples": 500, "deviation": 0.1}
    return MetricChange.model_validate({**known, "low": low, "high": high, **more})


def of_half_a_point(change: MetricChange, limit: float, *, accepted: bool = False) -> Check:
    budgets = Budgets(max_metric_drop=limit, accept_uncertain=accepted)
    return next(metric_checks(budgets, metric(0.905), metric(0.9), change))


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (-0.002, 0.01, "pass"),
        (-0.002, 0.0101, "unmeasured"),
        (0.0101, 0.02, "fail"),
        (None, None, "unmeasured"),
    ],
)
def test_the_whole_interval_must_keep_the_budget(
    low: float | None, high: float | None, found: str
) -> None:
    assert of_half_a_point(changed(low, high), 0.01).outcome == found


def test_too_few_samples_say_how_many_are_needed() -> None:
    answers = AnswerChange(changed=9, right_to_wrong=5, wrong_to_right=2, p_value=0.3)
    told = of_half_a_point(changed(-0.002, 0.012, answers=answers), 0.01)
    # The quantiles of 0.95 and 0.90 times 0.1, over a distance of 0.005, squared.
    assert told.text == (
        "500 samples cannot tell: metric is 0.9000, the baseline's 0.9050: 0.0050 worse (90 %"
        " interval 0.0020 better to 0.0120 worse; 9 of 500 answers changed: 5 from right to wrong,"
        " 2 from wrong to right); at most 0.0100 worse allowed; about 3,426 samples are needed"
    )
    assert [figure.name for figure in told.figures] == [
        "metric_drop",
        "metric_drop_low",
        "metric_drop_high",
    ]


@pytest.mark.parametrize(
    ("limit", "change", "words"),
    [
        (0.0, changed(-0.002, 0.002, drop=0.0), "shown by no number of samples"),
        (0.005, changed(-0.002, 0.012, deviation=99.0), "so near to what is allowed"),
        (0.01, changed(None, None, deviation=None), "cannot be divided"),
    ],
)
def test_where_no_number_helps_the_reason_is_told(
    limit: float, change: MetricChange, words: str
) -> None:
    assert words in of_half_a_point(change, limit).text


def test_who_accepts_uncertainty_gets_what_was_found() -> None:
    accepted = of_half_a_point(changed(-0.002, 0.012), 0.01, accepted=True)
    assert accepted.outcome == "warning"
    assert "accept_uncertain" in accepted.text
    assert of_half_a_point(changed(-0.002, 0.012), 0.004, accepted=True).outcome == "fail"


def test_what_cannot_be_told_is_refused_with_a_way_out() -> None:
    change = changed(-0.002, 0.012)
    candidate = CANDIDATE.model_copy(update={"change": change})
    budgets = Budgets(max_metric_drop=0.01)
    result = judge(budgets, BASELINE, candidate, COMPARED)
    assert result.decision == "refuse"
    assert result.advice[0].startswith("give eval_data() 3,426 samples")
    accepting = budgets.model_copy(update={"accept_uncertain": True})
    assert judge(accepting, BASELINE, candidate, COMPARED).decision == "ship"
