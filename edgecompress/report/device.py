"""What became of the model on the device that it was sent to, and what is to be said besides."""

from edgecompress.report.figures import apart, metric_name, milliseconds, percent, plain
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.measurement import Parity
from edgecompress.spec.pushed import Pushed, Validation
from edgecompress.spec.report import Report


def pushed_rows(pushed: Pushed) -> list[tuple[str, str]]:
    """Label and text: the release, what the device computed, and why where it did not end well."""
    rows = [("release", f"{pushed.release}, {_outcome(pushed)}")]
    if pushed.validation is not None:
        rows += _validation_rows(pushed.validation)
    return rows + [("why", reason) for reason in pushed.reasons]


def notes(report: Report) -> list[str]:
    """The report's own notes, then what casts doubt on a measurement, once where it is of both."""
    return [*report.notes, *measurement_notes(report)]


def measurement_notes(report: Report) -> list[str]:
    """What casts doubt on the latencies, to be read beside them; of both files first."""
    return [] if report.comparison is None else _measured(report.comparison)


def _outcome(pushed: Pushed) -> str:
    if pushed.outcome == "success":
        return "active"
    words = pushed.outcome.replace("_", " ")
    if pushed.active is not None:
        return f"{words}; active is {pushed.active}"
    return f"{words}; what is active there: edgecompress status {pushed.device}"


def _validation_rows(validation: Validation) -> list[tuple[str, str]]:
    there, here = apart(validation.value, validation.value_here, plain)
    if validation.low is not None and validation.high is not None:
        there += f" (95 % interval {plain(validation.low)} to {plain(validation.high)})"
    rows = [
        (
            metric_name(validation.metric),
            f"{there} there, {here} here, on {validation.parity.samples:,} samples",
        ),
        ("golden outputs", _agreement(validation.golden)),
        ("all outputs", _agreement(validation.parity)),
    ]
    if validation.latency_ms_p50 is not None:
        emulated = ", emulated: it says nothing about the board" * validation.emulated
        rows.append(("latency p50", milliseconds(validation.latency_ms_p50) + emulated))
    return rows


def _agreement(parity: Parity) -> str:
    steps = f"{parity.max_output_steps:.3g}"
    text = f"within {steps} step{'s' * (steps != '1')} of those here, on {parity.samples:,} samples"
    if parity.top1_agreement is None:
        return text
    return f"{text}, {percent(parity.top1_agreement)} of the answers the same"


def _measured(comparison: Comparison) -> list[str]:
    baseline, candidate = comparison.baseline.notes, comparison.candidate.notes
    return [
        *(note for note in baseline if note in candidate),
        *(f"baseline: {note}" for note in baseline if note not in candidate),
        *(f"candidate: {note}" for note in candidate if note not in baseline),
    ]
