"""Alarms beside the metric: each alone, just beyond its limit and just within."""

import pytest

from edgecompress.report.looks import look_checks
from edgecompress.spec.accuracy import AnswerChange, ClassChange, Confusion, MetricChange
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.looks import Calibration, Corruption, Looks, OutputShift, Part, Slice
from edgecompress.spec.report import Check

BUDGETS = Budgets(max_metric_drop=0.01)
ANSWERS = AnswerChange(changed=4, right_to_wrong=2, wrong_to_right=2, p_value=1.0)


def calibrated(**more: float) -> Calibration:
    known = {"bins": 15, "error_before": 0.01, "error_after": 0.02, "low": 0.0, "high": 0.02}
    return Calibration.model_validate(
        {**known, "wrong_before": 0.6, "wrong_after": 0.6, "wrong_low": -0.1, **more}
    )


def sliced(low: float) -> Slice:
    return Slice(name="dark", samples=100, drop=low + 0.02, low=low, high=low + 0.04)


def shifted(**more: float) -> OutputShift:
    known = {"index": 0, "spread": 1.0, "bias": 0.0, "low": -0.01, "high": 0.01, "clipped": 0.0}
    return OutputShift.model_validate({**known, **more})


def spoilt(low: float, before: float = 0.8) -> Corruption:
    return Corruption(name="dark", clean=0.9, before=before, after=0.7, low=low, high=0.2)


def changed(**more: object) -> MetricChange:
    known = {"method": "answers", "drop": 0.0, "low": -0.01, "high": 0.01, "samples": 500}
    return MetricChange.model_validate({**known, "deviation": 0.1, "answers": ANSWERS, **more})


CHANGED = changed()


def found(change: MetricChange | None = CHANGED, **looks: object) -> list[Check]:
    known = Looks.model_validate({"samples": 500, "inferences": 200, **looks})
    return [each for each in look_checks(BUDGETS, change, known) if each.outcome != "pass"]


@pytest.mark.parametrize(
    ("looks", "kind"),
    [
        ({"calibration": calibrated(low=0.051)}, "calibration"),
        ({"calibration": calibrated(wrong_low=0.11)}, "calibration"),
        ({"agreement": 0.49}, "attention"),
        ({"parts": (Part(name="channel 1", before=0.3, after=0.05),)}, "attention"),
        ({"slices": (sliced(0.031),)}, "slices"),
        ({"shifts": (shifted(bias=0.12, low=0.11, high=0.13),)}, "outputs"),
        ({"shifts": (shifted(bias=-0.12, low=-0.13, high=-0.11),)}, "outputs"),
        ({"shifts": (shifted(clipped=0.03),)}, "outputs"),
        ({"robustness": (spoilt(0.031),)}, "robustness"),
    ],
)
def test_each_alarm_alone(looks: dict[str, object], kind: str) -> None:
    (only,) = found(**looks)
    assert (only.kind, only.outcome) == (kind, "warning")


@pytest.mark.parametrize(
    "looks",
    [
        {"calibration": calibrated(low=0.049, wrong_low=0.09)},
        {"calibration": calibrated(wrong_before=None, wrong_low=None)},
        {"agreement": 0.51},
        {"agreement": None},
        {"parts": (Part(name="channel 1", before=0.3, after=0.1),)},
        {"parts": (Part(name="channel 1", before=0.05, after=0.0),)},
        {"slices": (sliced(0.029),)},
        {"shifts": (shifted(bias=0.12, low=0.09, high=0.15, clipped=0.01),)},
        {"robustness": (spoilt(0.029), spoilt(0.1, before=0.4))},
    ],
)
def test_what_is_not_shown_or_small_is_none(looks: dict[str, object]) -> None:
    assert found(**looks) == []


def of_class(name: str, after: float, low: float) -> ClassChange:
    return ClassChange(
        index=0, name=name, samples=50, recall_before=0.98, recall_after=after, low=low, high=1.0
    )


def test_a_class_that_is_forgotten_does_not_ship() -> None:
    lost = changed(classes=(of_class("seven", 0.4, 0.3), of_class("two", 0.9, 0.04)))
    (only,) = found(lost)
    assert (only.kind, only.outcome) == ("classes", "fail")
    assert only.text == (
        "class 'seven' is forgotten: recall 40.0 %, before 98.0 %, on 50 samples, and 1 more lose"
    )
    (only,) = found(changed(classes=(of_class("seven", 0.6, 0.3),)))
    assert only.outcome == "warning"
    assert found(changed(classes=(of_class("seven", 0.9, 0.029),))) == []


def test_two_classes_that_are_taken_for_one_another() -> None:
    pair = Confusion(names=("3", "5"), samples=300, before=2, after=20, low=0.021, high=0.1)
    (only,) = found(changed(confusions=(pair,)))
    assert only.text == "classes '3' and '5' are taken for one another 20 times in 300, before 2"
    assert found(changed(confusions=(pair.model_copy(update={"low": 0.019}),))) == []


def test_where_there_is_no_alarm_one_line_says_so() -> None:
    looks = Looks(samples=500, inferences=200, agreement=0.93)
    (only,) = look_checks(BUDGETS, changed(), looks)
    assert only.outcome == "pass"
    assert "maps agree by 0.93" in only.text
    assert list(look_checks(BUDGETS, None, None)) == []


def test_what_is_lost_everywhere_is_the_metrics_to_say() -> None:
    lost = changed(drop=0.1, low=0.08, high=0.12)
    assert found(lost, slices=(sliced(0.1),), robustness=(spoilt(0.1),)) == []
    assert [each.kind for each in found(lost, slices=(sliced(0.13),))] == ["slices"]


def test_of_a_metric_with_units_of_its_own_the_budget_is_the_limit() -> None:
    change = changed(method="bootstrap", answers=None)
    assert [each.kind for each in found(change, slices=(sliced(0.011),))] == ["slices"]
    assert found(change, slices=(sliced(0.009),)) == []
