"""What ships of one run beside what ships of another."""

from edgecompress.report.figures import factor, percent
from edgecompress.report.rows import NOTHING, FigureRow, metric_row, smaller_rows
from edgecompress.spec.report import Report


def pair_rows(a: Report, b: Report) -> list[FigureRow]:
    """As `figure_rows`, of the candidates of two runs; `change` is from the first to the second."""
    before, after = a.candidate, b.candidate
    rows = [
        _texts("verdict", a.verdict.decision, b.verdict.decision),
        _texts("target", a.target, b.target),
        _texts("device", a.device or NOTHING, b.device or NOTHING),
    ]
    if before.metric.name == after.metric.name:
        rows.append(metric_row(before.metric, after.metric))
    rows += smaller_rows(before, after)
    share = percent(before.int8_op_fraction), percent(after.int8_op_fraction)
    rows.append(_texts("MACs in int8", *share))
    rows.append(_texts("speed against its baseline", _speedup(a), _speedup(b)))
    return rows


def comparable(a: Report, b: Report) -> str | None:
    """Why latencies of the two say little about one another; None where they do."""
    if a.device is None or b.device is None:
        return "at least one of them was not measured"
    if a.device != b.device:
        return f"they were measured on two devices, {a.device} and {b.device}"
    return "they were measured at two times: what differs by a few percent may be the machine"


def _texts(label: str, a: str, b: str) -> FigureRow:
    return FigureRow(label, a, b, "" if a == b else "differs", "same")


def _speedup(report: Report) -> str:
    found = report.comparison
    if found is None:
        return NOTHING
    low, high = factor(found.speedup_low), factor(found.speedup_high)
    return f"{factor(found.speedup)} ({low} to {high})"
