"""report.html: one self-contained file, readable in any browser, with no script and no request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from edgecompress.report.charts import draw_charts
from edgecompress.report.device import notes, pushed_rows
from edgecompress.report.dots import dots_of
from edgecompress.report.figures import count, factor, milliseconds, percent, plain
from edgecompress.report.noise import noise_lines, noise_rows, search_lines
from edgecompress.report.rows import NOTHING, Trend, figure_rows
from edgecompress.shown import shown
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.measurement import DeviceState, TelemetrySample, Turn
from edgecompress.spec.native import KERNEL_FEATURES
from edgecompress.spec.report import Check, Report


@dataclass(frozen=True)
class Tile:
    """A headline figure."""

    value: str
    label: str
    trend: Trend


def render_html(report: Report) -> str:
    """The whole page as text. The same report gives the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        {"count": count, "ms": milliseconds, "percent": percent, "plain": plain}
    )
    charts = {chart.id: chart for chart in draw_charts(report, dots_of(report))}
    return environment.get_template("template.html").render(
        report=report,
        summary=_summary(report.checks),
        tiles=_tiles(report),
        pushed=pushed_rows(report.pushed) if report.pushed else [],
        rows=figure_rows(report),
        charts=charts,
        conditions=_conditions(report.comparison) if report.comparison else [],
        noise=noise_rows(report.noise) if report.noise else [],
        noise_lines=noise_lines(report.noise) if report.noise else [],
        search=search_lines(report.search) if report.search else [],
        notes=notes(report),
        nothing=NOTHING,
    )


def _visible(value: object) -> object:
    """Every value as the page shows it, but parts that are HTML already."""
    return value if isinstance(value, Markup) else shown(str(value))


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
    rows = {row.label: row for row in figure_rows(report)}
    metric = rows[report.candidate.metric.name]
    size = rows["file size"]
    tiles = [
        # Not marked where it is worse: whether that matters is the verdict's to say.
        Tile(metric.candidate, f"{metric.label} ({metric.change})", "same"),
        Tile(size.candidate, f"file size ({size.change})", size.trend),
        Tile(percent(report.candidate.int8_op_fraction), "of the MACs in int8", "same"),
    ]
    if report.comparison is not None:
        speedup, emulated = report.comparison.speedup, report.comparison.emulated
        label = "as fast as the baseline" + ", emulated" * emulated
        trend: Trend = "same" if emulated else "better" if speedup > 1 else "worse"
        tiles.insert(0, Tile(factor(speedup), label, trend))
    return tiles


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
