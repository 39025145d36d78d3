"""What was looked at beside the metric, judged: who is lost where the whole looks well.

Each is a warning, because the budgets are of the metric; a class that is forgotten does not ship.
Where a loss must be shown, its interval must lie beyond the limit: 20 healthy candidates give at
most one alarm (`benchmarks/harms.py`).
"""

from collections.abc import Iterator

from edgecompress.report.checks import at_least, at_most, check
from edgecompress.report.figures import percent, plain
from edgecompress.spec.accuracy import ClassChange, Confusion, MetricChange
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.looks import Calibration, Looks, OutputShift, Part
from edgecompress.spec.report import Check

ABLE = 0.5
"""Inputs are too spoilt to tell of where the original's metric changes by more of itself."""
MARGIN = 0.02
"""The most right answers, beyond the budget, that a class, a slice or spoilt inputs may be shown to
lose; other metrics have units of their own."""
FORGOTTEN = 0.5
"""Share of its recall below which a class is called forgotten."""
PAIR_MARGIN = 0.01
"""The most, beyond the budget, of two classes that may be shown to be taken for one another."""
MOST_CALIBRATION = 0.05
"""Rise of the calibration error."""
MOST_SURE = 0.10
"""Rise of the mean confidence of wrong answers."""
LEAST_AGREEMENT = 0.5
"""Rank correlation of occlusion maps, the median over samples."""
USED, IGNORED = 0.10, 0.25
"""The share of a part that matters; and how much of that is left of one that no longer does."""
MOST_BIAS = 0.10
"""Shift of an output, in standard deviations of it."""
MOST_CLIPPED = 0.02
"""Share of the samples whose output is cut off."""


def look_checks(
    budgets: Budgets, change: MetricChange | None, looks: Looks | None
) -> Iterator[Check]:
    """An alarm for each thing that is shown to be lost; one line that says so where nothing is."""
    found: list[Check] = []
    limit = budgets.max_metric_drop
    if change is not None:
        found += _classes(budgets, change.classes)
        # A class that is lost altogether is lost to another, which says nothing new.
        found += [] if found else _confusions(budgets, change.confusions)
        # What is lost everywhere is the metric's to say.
        limit = max(limit, change.drop) + (MARGIN if change.answers is not None else 0.0)
    if looks is not None:
        found += _calibration(looks.calibration)
        found += _attention(looks)
        found += _slices(limit, looks)
        found += (each for shift in looks.shifts for each in _outputs(shift))
        found += _robustness(limit, looks)
    yield from found
    if not found and looks is not None:
        yield check("attention", "pass", _all_well(looks))


def _all_well(looks: Looks) -> str:
    agreed = "" if looks.agreement is None else f": its maps agree by {looks.agreement:.2f}"
    return f"nothing shows that the file looks at other things than the original{agreed}"


def _classes(budgets: Budgets, classes: tuple[ClassChange, ...]) -> Iterator[Check]:
    """Those whose loss of recall is shown, of which one line names the worst."""
    limit = budgets.max_metric_drop + MARGIN
    lost = [row for row in classes if row.low > limit]
    if not lost:
        return
    worst = max(lost, key=lambda row: row.recall_before - row.recall_after)
    drop = worst.recall_before - worst.recall_after
    gone = worst.recall_after < FORGOTTEN * worst.recall_before
    others = f", and {len(lost) - 1} more lose" if len(lost) > 1 else ""
    text = (
        f"class '{worst.name}' is {'forgotten' if gone else 'answered worse'}: recall"
        f" {percent(worst.recall_after)}, before {percent(worst.recall_before)}, on"
        f" {worst.samples:,} samples{others}"
    )
    yield check("classes", "fail" if gone else "warning", text, at_most("recall_drop", drop, limit))


def _confusions(budgets: Budgets, pairs: tuple[Confusion, ...]) -> Iterator[Check]:
    limit = budgets.max_metric_drop + PAIR_MARGIN
    for pair in (row for row in pairs if row.low > limit):
        one, other = pair.names
        text = (
            f"classes '{one}' and '{other}' are taken for one another {pair.after:,} times in"
            f" {pair.samples:,}, before {pair.before:,}"
        )
        rise = (pair.after - pair.before) / pair.samples
        yield check("classes", "warning", text, at_most("confusion_rise", rise, limit))


def _calibration(found: Calibration | None) -> Iterator[Check]:
    if found is None:
        return
    rise = found.error_after - found.error_before
    if found.low > MOST_CALIBRATION:
        yield check(
            "calibration",
            "warning",
            f"answers are less often right than they are sure: calibration error"
            f" {percent(found.error_after)}, before {percent(found.error_before)}",
            at_most("calibration_error_rise", rise, MOST_CALIBRATION),
        )
    if found.wrong_low is not None and found.wrong_low > MOST_SURE:
        before, after = found.wrong_before, found.wrong_after
        assert before is not None
        assert after is not None
        yield check(
            "calibration",
            "warning",
            f"wrong answers are surer than before: {percent(after)} on average, before"
            f" {percent(before)}",
            at_most("wrong_confidence_rise", after - before, MOST_SURE),
        )


def _attention(looks: Looks) -> Iterator[Check]:
    agreed = looks.agreement
    if agreed is not None and agreed < LEAST_AGREEMENT:
        text = (
            f"the file looks at other parts of the inputs than the original: rank correlation of"
            f" their occlusion maps {agreed:.2f}, the median of {len(looks.occlusions)} samples"
        )
        yield check("attention", "warning", text, at_least("agreement", agreed, LEAST_AGREEMENT))
    for part in looks.parts:
        if _is_ignored(part):
            text = (
                f"{part.name} hardly counts any more: {percent(part.after)} of what all count,"
                f" before {percent(part.before)}"
            )
            yield check("attention", "warning", text, at_least("share", part.after, part.before))


def _is_ignored(part: Part) -> bool:
    return part.before >= USED and part.after < IGNORED * part.before


def _slices(limit: float, looks: Looks) -> Iterator[Check]:
    """The worst slice whose loss is shown to be beyond what is allowed, or lost everywhere."""
    lost = [each for each in looks.slices if each.low > limit]
    if lost:
        worst = max(lost, key=lambda each: each.drop)
        text = (
            f"the loss falls on the '{worst.name}' quarter of the samples: {plain(worst.drop)}"
            f" worse there, at least {plain(worst.low)}"
        )
        yield check("slices", "warning", text, at_most("slice_drop", worst.drop, limit))


def _outputs(shift: OutputShift) -> Iterator[Check]:
    if shift.low > MOST_BIAS or shift.high < -MOST_BIAS:
        text = (
            f"output {shift.index} is shifted by {shift.bias:+.2f} of its standard deviation in all"
            " samples alike"
        )
        yield check("outputs", "warning", text, at_most("bias", abs(shift.bias), MOST_BIAS))
    if shift.clipped > MOST_CLIPPED:
        text = (
            f"output {shift.index} is cut off: in {percent(shift.clipped)} of the samples the"
            " original goes beyond all that the file puts out"
        )
        yield check("outputs", "warning", text, at_most("clipped", shift.clipped, MOST_CLIPPED))


def _robustness(limit: float, looks: Looks) -> Iterator[Check]:
    for each in looks.robustness:
        # What the original cannot do either is no measure.
        able = abs(each.before - each.clean) <= ABLE * abs(each.clean)
        if able and each.low is not None and each.low > limit:
            text = (
                f"inputs with {each.name} are answered worse than by the original: the metric there"
                f" is {plain(each.after)}, the original's {plain(each.before)}"
            )
            drop = abs(each.before - each.after)
            yield check("robustness", "warning", text, at_most("metric_drop", drop, limit))
