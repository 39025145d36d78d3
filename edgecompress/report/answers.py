"""What a newcomer asks first: does it ship, how much faster is it than what, what got worse, and
what is to be done next.
"""

from pathlib import Path
from typing import NamedTuple

from edgecompress.report.figures import (
    factor,
    metric_name,
    milliseconds,
    percent,
    plain,
    ratio_in_words,
)
from edgecompress.report.rows import figure_rows
from edgecompress.spec.comparison import Comparison, RivalResult
from edgecompress.spec.race import Race
from edgecompress.spec.report import Check, Report

_MOST_WORSE = 4


class Answer(NamedTuple):
    question: str
    lines: tuple[str, ...]


def answers(report: Report) -> list[Answer]:
    """Four questions, each with one line or a few."""
    return [
        Answer("Does it ship?", (_ship(report),)),
        Answer("How much faster, than what?", _faster(report)),
        Answer("What got worse?", _worse(report)),
        Answer("What next?", next_steps(report)),
    ]


def next_steps(report: Report) -> tuple[str, ...]:
    """What to do with a file that ships, or to try with one that does not."""
    if report.verdict.advice:
        return report.verdict.advice
    if report.verdict.decision != "ship":
        return ("correct what is said above, and deploy again",)
    files = [each.path for each in report.artifacts if "baseline" not in Path(each.path).name]
    path = files[0] if files else "the model file"
    if report.pushed is not None and report.pushed.outcome == "success":
        return (f"nothing: {report.pushed.device} runs it already; it is {path}",)
    return (f"take {path}, or send it: edgecompress push {report.run} DEVICE",)


def _ship(report: Report) -> str:
    if report.verdict.decision == "ship":
        return f"Yes: all {len(report.checks)} checks passed{_but(report.checks)}."
    wanted = "fail" if report.verdict.decision == "refuse" else "unmeasured"
    deciding = [check for check in report.checks if check.outcome == wanted]
    word = "No" if report.verdict.decision == "refuse" else "Not known yet"
    if not deciding:
        return f"{word}."
    more = f" (and {len(deciding) - 1} more)" * (len(deciding) > 1)
    return f"{word}: {deciding[0].text}{more}."


def _but(checks: tuple[Check, ...]) -> str:
    warned = sum(check.outcome == "warning" for check in checks)
    return f", {warned} of them with a warning" if warned else ""


def _faster(report: Report) -> tuple[str, ...]:
    compared = report.comparison
    if compared is None:
        return ("It was not measured: no board of this target is at hand.",)
    lines = [
        _speed(f"the best float file of any runtime ({rival.name})", compared, rival)
        for rival in compared.rivals
        if rival.kind == "best float"
    ]
    which = "the original in the same runtime"
    if report.race is not None and not lines:
        which += ", the best float file of any"
    lines.append(_speed(which, compared, compared))
    if report.race is not None and (won := _original_that_won(report.race)) is not None:
        lines.insert(0, f"The original itself is the fastest: {won}.")
    if compared.emulated:
        lines.append("Emulated: none of it says anything about the board.")
    elif not compared.valid:
        lines.append("The measurement is not valid, so this decides nothing.")
    return tuple(lines)


def _speed(which: str, compared: Comparison, against: Comparison | RivalResult) -> str:
    """How fast the candidate is beside what it was measured side by side with."""
    it = against.baseline if isinstance(against, Comparison) else against.measurement
    words = ratio_in_words(against.speedup, 1.0, ("faster", "slower"))
    told = f"{words} than" if words.endswith("er") else "about as fast as"
    low, high = factor(against.speedup_low), factor(against.speedup_high)
    return (
        f"{told} {which}: p50 {milliseconds(compared.candidate.latency_ms_p50)},"
        f" it {milliseconds(it.latency_ms_p50)} (95 % interval {low} to {high})"
    )


def _original_that_won(race: Race) -> str | None:
    won = (one.name for one in race.entrants if one.ending == "won" and one.variant == "original")
    return next(won, None)


def _worse(report: Report) -> tuple[str, ...]:
    """Figures that are worse than the original's, the metric first."""
    rows = [row for row in figure_rows(report) if row.trend == "worse"]
    lines = [
        f"{row.label} {row.candidate}, the original's {row.baseline}: {row.change}" for row in rows
    ]
    lines += _answers_changed(report)
    if not lines:
        name = metric_name(report.candidate.metric.name)
        value = plain(report.candidate.metric.value)
        return (f"Nothing of what was looked at: {name} is {value}, no lower than before.",)
    if len(lines) > _MOST_WORSE:
        lines = [*lines[: _MOST_WORSE - 1], f"and {len(lines) - _MOST_WORSE + 1} more, below"]
    return tuple(lines)


def _answers_changed(report: Report) -> list[str]:
    change = report.candidate.change
    if change is None:
        return []
    found = []
    if change.answers is not None and change.answers.right_to_wrong:
        found.append(
            f"{change.answers.right_to_wrong:,} of {change.samples:,} answers went from right to"
            f" wrong, {change.answers.wrong_to_right:,} from wrong to right"
        )
    lost = [one for one in change.classes if one.low > 0]
    if lost:
        worst = lost[0]
        found.append(
            f"class {worst.name}: recall {percent(worst.recall_after)},"
            f" before {percent(worst.recall_before)}"
        )
    return found
