"""The best float of any runtime, and what shipped before: a file must not be slower, or worse."""

import random

import pytest
from synthetic import comparison, make_report, measurement

from edgecompress.report.advice import NOTHING, Seen, Shipped
from edgecompress.report.answers import answers
from edgecompress.report.rivals import REGRESSION
from edgecompress.report.verdict import Judgement, judge
from edgecompress.spec.accuracy import MetricChange
from edgecompress.spec.comparison import RivalKind, RivalResult
from edgecompress.spec.deploy import Budgets

BUDGETS = Budgets(max_metric_drop=0.01, min_speedup=2.0)
KEPT = MetricChange(method="answers", drop=0.0, low=-0.002, high=0.002, samples=360, deviation=0.1)


def rival(kind: RivalKind, speedup: float, spread: float = 0.01) -> RivalResult:
    return RivalResult(
        kind=kind,
        name="the original, float32, in another",
        target="local-another",
        measurement=measurement(random.Random(3), 0.53 * speedup, 9 << 20),
        speedup=speedup,
        speedup_low=speedup * (1 - spread),
        speedup_high=speedup * (1 + spread),
    )


def judged(*rivals: RivalResult, seen: Seen = NOTHING, lost: MetricChange = KEPT) -> Judgement:
    report = make_report()
    candidate = report.candidate.model_copy(update={"change": lost})
    measured = comparison().model_copy(update={"rivals": rivals})
    return judge(BUDGETS, report.baseline, candidate, measured, seen)


def outcomes(judgement: Judgement, kind: str) -> list[str]:
    return [check.outcome for check in judgement.checks if check.kind == kind]


def test_the_answers_go_by_what_ran_side_by_side() -> None:
    measured = comparison()
    report = make_report().model_copy(
        update={"comparison": measured.model_copy(update={"rivals": (rival("best float", 1.01),)})}
    )
    (speed,) = (one for one in answers(report) if one.question.startswith("How much faster"))
    against_rival, against_own = speed.lines
    assert against_rival.startswith(
        "about as fast as the best float file of any runtime (the original, float32, in another):"
    )
    assert against_own.startswith("2.7x faster than the original in the same runtime:")


@pytest.mark.parametrize(
    ("speedup", "spread", "outcome"),
    [(2.4, 0.01, "pass"), (1.9, 0.01, "fail"), (0.9, 0.01, "fail"), (2.4, 0.7, "fail")],
)
def test_the_speedup_asked_for_is_over_the_best_float(
    speedup: float, spread: float, outcome: str
) -> None:
    found = judged(rival("best float", speedup, spread))
    assert outcomes(found, "race") == [outcome]
    # 2.7 times as fast as its own original, whatever another runtime does.
    assert set(outcomes(found, "speed")) == {"pass"}
    if outcome == "fail":
        assert found.decision == "refuse"
        assert "ship the original, float32, in another" in found.advice[0]


@pytest.mark.parametrize(
    ("speedup", "accepts", "outcome"),
    [
        (1.3, False, "pass"),
        (1 - REGRESSION / 2, False, "pass"),
        (0.9, False, "fail"),
        (0.9, True, "warning"),
    ],
)
def test_what_is_shown_to_be_slower_than_what_shipped_is_refused(
    speedup: float, accepts: bool, outcome: str
) -> None:
    found = judged(rival("last shipped", speedup), seen=Seen(accepts_regression=accepts))
    assert outcomes(found, "history") == [outcome]
    assert (found.decision == "refuse") == (outcome == "fail")
    if outcome == "fail":
        assert "--accept-regression" in found.advice[0]
    if outcome == "warning":
        assert "accepted" in next(one.text for one in found.checks if one.kind == "history")


def test_what_may_be_noise_is_no_regression() -> None:
    assert outcomes(judged(rival("last shipped", 0.9, spread=0.2)), "history") == ["pass"]


@pytest.mark.parametrize(
    ("low", "accepts", "outcome"),
    [(0.0, False, "pass"), (0.004, False, "fail"), (0.004, True, "warning")],
)
def test_so_is_a_metric_that_is_shown_to_be_worse(low: float, accepts: bool, outcome: str) -> None:
    lost = KEPT.model_copy(update={"drop": 0.006, "low": low, "high": 0.008})
    before = Shipped("before", make_report().candidate.metric, KEPT)
    found = judged(seen=Seen(before=before, accepts_regression=accepts), lost=lost)
    assert outcomes(found, "history") == [outcome]


def test_metrics_of_other_samples_are_not_compared() -> None:
    lost = KEPT.model_copy(update={"drop": 0.006, "low": 0.004, "high": 0.008})
    metric = make_report().candidate.metric.model_copy(update={"samples": 100})
    found = judged(seen=Seen(before=Shipped("before", metric, KEPT)), lost=lost)
    assert outcomes(found, "history") == []
