"""report.html: one self-contained file, readable in any browser, with no script and no request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgecompress.report.answers import answers
from edgecompress.report.charts import draw_charts
from edgecompress.report.device import notes, pushed_rows
from edgecompress.report.dots import dots_of
from edgecompress.report.figures import factor, percent, ratio_in_words
from edgecompress.report.noise import noise_lines, noise_rows, search_lines
from edgecompress.report.page import render
from edgecompress.report.rows import NOTHING, Trend, figure_rows
from edgecompress.report.where import exemplars, occlusions
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.measurement import DeviceState, TelemetrySample, Turn
from edgecompress.spec.native import KERNEL_FEATURES
from edgecompress.spec.report import Check, Report
from edgecompress.store import RunPoint

MOST_CLASSES = 30
"""Classes that lost the most; the rest would make a table that nobody reads."""


@dataclass(frozen=True)
class Tile:
    """A headline figure."""

    value: str
    label: str
    trend: Trend


def render_html(report: Report, earlier: Sequence[RunPoint] = ()) -> str:
    """The whole page as text. The same arguments give the same bytes.

    Args:
        report: what it shows.
        earlier: runs for its first chart; those of another task or device are left out.

    """
    dots = dots_of(report, earlier)
    change = report.candidate.change
    return render(
        "template.html",
        report=report,
        summary=_summary(report.checks),
        answers=answers(report),
        tiles=_tiles(report),
        checks=[check for check in report.checks if check.kind != "hop" or check.outcome != "pass"],
        hops=[check for check in report.checks if check.kind == "hop"],
        pushed=pushed_rows(report.pushed) if report.pushed else [],
        rows=figure_rows(report),
        charts={chart.id: chart for chart in draw_charts(report, dots)},
        dots=dots,
        classes=[] if change is None else change.classes[:MOST_CLASSES],
        exemplars=exemplars(report.looks),
        occlusions=occlusions(report.looks),
        conditions=_conditions(report.comparison) if report.comparison else [],
        cost=_cost(report),
        noise=noise_rows(report.noise) if report.noise else [],
        noise_lines=noise_lines(report.noise) if report.noise else [],
        search=search_lines(report.search) if report.search else [],
        notes=notes(report),
        nothing=NOTHING,
    )


def _summary(checks: Sequence[Check]) -> str:
    for outcome, what in (
        ("fail", "failed"),
        ("unmeasured", "could not be measured"),
        ("warning", "passed with a warning"),
    ):
        number = sum(check.outcome == outcome for check in checks)
        if number:
            return f"{number} of {len(checks)} checks {what}."
    return f"All {len(checks)} checks passed."


def _tiles(report: Report) -> list[Tile]:
    """Speed where it was measured, the metric, the size, and the int8 share."""
    metric, *rows = figure_rows(report)
    size = next(row for row in rows if row.label == "file size")
    tiles = [
        # Not marked where it is worse: whether that matters is the verdict's to say.
        Tile(metric.candidate, f"{metric.label}, before {metric.baseline}", "same"),
        Tile(size.change or size.candidate, f"file, {size.candidate}", size.trend),
        Tile(percent(report.candidate.int8_op_fraction), "of the MACs in int8", "same"),
    ]
    compared = report.comparison
    if compared is not None:
        known = not compared.emulated and compared.valid
        label = "than the original" + ", emulated" * compared.emulated
        label += ", not valid" * (not compared.emulated and not compared.valid)
        trend: Trend = "same" if not known else "better" if compared.speedup > 1 else "worse"
        words = ratio_in_words(compared.speedup, 1.0, ("faster", "slower"))
        tiles.insert(0, Tile(words or factor(compared.speedup), label, trend))
    return tiles


def _cost(report: Report) -> list[tuple[str, str]]:
    """What compressing took, all stages together, those from the store included."""
    costs = [stage.cost for stage in report.stages if stage.cost is not None]
    if not costs:
        return []
    rows = [
        ("time", _seconds(sum(cost.seconds for cost in costs))),
        ("CPU time", _seconds(sum(cost.cpu_s for cost in costs))),
    ]
    peaks = [cost.peak_rss_bytes for cost in costs if cost.peak_rss_bytes is not None]
    if peaks:
        rows.append(("peak memory", f"{max(peaks) / 2**30:.2f} GiB, torch included"))
    joules = [cost.energy_j for cost in costs if cost.energy_j is not None]
    if joules:
        rows.append(("energy", f"{sum(joules):,.0f} J by the CPU packages, all else included"))
    return rows


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def _conditions(comparison: Comparison) -> list[tuple[str, str]]:
    """How the latencies were taken: label and value, as recorded by the device itself."""
    probe = comparison.probe
    features = [name for name in KERNEL_FEATURES if name in probe.cpu_features]
    turns = [*comparison.baseline.turns, *comparison.candidate.turns]
    states = [state for turn in turns for state in (turn.before, turn.after)]
    readings: list[DeviceState | TelemetrySample] = []
    for turn in turns:
        readings += [turn.before, *turn.telemetry, turn.after]
    memory = NOTHING if probe.memory_bytes is None else f"{probe.memory_bytes / 2**30:.1f} GiB"
    emulated = " (emulated: its speed says nothing about the board)" * comparison.emulated
    return [
        ("device", comparison.device + emulated),
        ("CPU", f"{probe.cpu_model or NOTHING}, {probe.cores} cores, {probe.machine}"),
        ("CPU features", ", ".join(features) or NOTHING),
        ("memory", memory),
        ("system", f"{probe.system}, Python {probe.python}"),
        ("governor", _each(state.governor for state in states)),
        ("clock", _range((reading.clock_mhz for reading in readings), "MHz")),
        ("temperature", _range((reading.temperature_c for reading in readings), "°C")),
        ("throttled", _each(reading.throttled for reading in readings)),
        ("power", _power(turns)),
        ("load, 1 minute", _range((state.load_1m for state in states), "")),
        ("threads", _each(str(turn.threads) for turn in turns)),
        ("protocol", NOTHING if comparison.protocol is None else comparison.protocol.protocol),
        ("valid", _valid(comparison)),
        ("turns", f"{len(comparison.baseline.turns)} each, in alternation{_again(comparison)}"),
        ("samples", f"{_samples(turns):,} in all, after {_warmups(turns):,} for warm-up"),
        (
            "speedup",
            f"{factor(comparison.speedup)}, 95 % interval {factor(comparison.speedup_low)}"
            f" to {factor(comparison.speedup_high)}",
        ),
        ("versions", ", ".join(f"{name} {v}" for name, v in sorted(probe.versions.items()))),
    ]


def _valid(comparison: Comparison) -> str:
    against = comparison.against
    if against is not None:
        return f"no: {against.text}"
    return "yes" if comparison.valid else NOTHING


def _again(comparison: Comparison) -> str:
    """How many turns were put away because something befell them."""
    sides = (comparison.baseline, comparison.candidate)
    count = sum(len(side.discarded) for side in sides)
    return f"; {count} were measured again" if count else ""


def _power(turns: list[Turn]) -> str:
    """While it was measured, idle power included."""
    shown = _range((sample.power_mw for turn in turns for sample in turn.telemetry), "mW")
    return shown if shown == NOTHING else f"{shown}, of {_each(turn.power_of for turn in turns)}"


def _samples(turns: list[Turn]) -> int:
    return sum(turn.samples for turn in turns)


def _warmups(turns: list[Turn]) -> int:
    return sum(len(turn.warmup_ms) for turn in turns)


def _each(values: Iterable[str | None]) -> str:
    """Every different value once, in the order of time."""
    return ", ".join(dict.fromkeys(value for value in values if value is not None)) or NOTHING


def _range(values: Iterable[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    low, high = f"{min(known):g}", f"{max(known):g}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
