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
    before, after = compared.baseline.latency_ms_p50, compared.candidate.latency_ms_p50
    words = ratio_in_words(compared.speedup, 1.0, ("faster", "slower")) or "not to be told"
    interval = f"95 % interval {factor(compared.speedup_low)} to {factor(compared.speedup_high)}"
    text = (
        f"{words} than the original in the same runtime: p50 {milliseconds(after)},"
        f" it {milliseconds(before)} ({interval})"
    )
    lines = [text]
    if report.race is not None and (best := _best_float(report)) is not None:
        lines.insert(0, best)
    if compared.emulated:
        lines.append("Emulated: none of it says anything about the board.")
    elif not compared.valid:
        lines.append("The measurement is not valid, so this decides nothing.")
    return tuple(lines)


def _best_float(report: Report) -> str | None:
    """Against the fastest float original of any runtime."""
    assert report.race is not None
    entrants = {one.name: one for one in report.race.entrants}
    best = entrants.get(report.race.best_float)
    won = next((one for one in report.race.entrants if one.ending == "won"), None)
    if best is None or won is None or best.latency_ms_p50 is None or won.latency_ms_p50 is None:
        return None
    if won.name == best.name:
        return f"The original itself is the fastest: {best.name}."
    words = ratio_in_words(best.latency_ms_p50, won.latency_ms_p50, ("faster", "slower"))
    return (
        f"{words} than the best float file of any runtime ({best.name}):"
        f" p50 {milliseconds(won.latency_ms_p50)}, it {milliseconds(best.latency_ms_p50)}"
    )


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
