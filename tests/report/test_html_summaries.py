"""A report on a device whose tool keeps its samples to itself."""

from synthetic import make_report
from turns import FOUR

from edgecompress.measure.compare import summarise
from edgecompress.report.html import render_html
from edgecompress.spec.measurement import LatencySummary, Measurement


def without_samples(measurement: Measurement) -> Measurement:
    turns = []
    for turn in measurement.turns:
        ordered = sorted(turn.latency_ms)
        summary = LatencySummary(
            count=len(ordered),
            latency_ms_mean=sum(ordered) / len(ordered),
            latency_ms_min=ordered[0],
            latency_ms_max=ordered[-1],
            latency_ms_std=None,
            latency_ms_p5=ordered[len(ordered) // 20],
            latency_ms_p50=ordered[len(ordered) // 2],
            latency_ms_p95=ordered[-len(ordered) // 20],
        )
        turns.append(turn.model_copy(update={"latency_ms": (), "summary": summary}))
    return summarise(turns, FOUR)


def test_it_says_that_p90_and_p99_are_bounds() -> None:
    report = make_report()
    comparison = report.comparison
    assert comparison is not None
    known = sum(
        len(turn.latency_ms)
        for measured in (comparison.baseline, comparison.candidate)
        for turn in measured.turns
    )
    bare = comparison.model_copy(
        update={
            "baseline": without_samples(comparison.baseline),
            "candidate": without_samples(comparison.candidate),
        }
    )
    html = render_html(report.model_copy(update={"comparison": bare}))
    assert "the tool prints no samples" in html
    assert f"{known:,} in all" in html
