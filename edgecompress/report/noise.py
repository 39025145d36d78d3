"""What quantising cost, operator by operator, in words."""

from dataclasses import dataclass

from edgecompress.report.figures import apart, decibels, milliseconds, plain
from edgecompress.spec.report import FloatSearch, OperatorNoise, QuantizationNoise

NO_SIGNAL = "no signal"
EXACT_DB = 120.0
"""From here on the rest is what float32 itself rounds."""
_WORST = 3


@dataclass(frozen=True)
class NoiseRow:
    """One operator, as text."""

    name: str
    kind: str
    alone: str
    local: str
    accumulated: str


def noise_rows(noise: QuantizationNoise) -> list[NoiseRow]:
    """Every operator, the one that costs most first."""
    return [
        NoiseRow(
            row.name,
            row.kind,
            ratio(row.alone_db),
            ratio(row.local_db),
            ratio(row.accumulated_db),
        )
        for row in noise.operators
    ]


def noise_lines(noise: QuantizationNoise) -> list[str]:
    """For a terminal: the whole, and the worst operators."""
    lines = [
        f"signal to quantisation noise at the outputs: {ratio(noise.outputs_db)},"
        f" on {noise.samples} samples"
    ]
    if worst := noise.operators[:_WORST]:
        lines.append(f"quantised alone: {', '.join(named(row) for row in worst)}")
    return lines


def named(row: OperatorNoise) -> str:
    """'layer1.0.conv1 (conv2d) 31.2 dB'"""
    return f"{row.name} ({row.kind}) {ratio(row.alone_db)}"


def ratio(value: float | None) -> str:
    """'31.2 dB'; words where there is nothing to be told in figures."""
    if value is None:
        return NO_SIGNAL
    return "exact" if value >= EXACT_DB else decibels(value)


def search_lines(search: FloatSearch) -> list[str]:
    """What came of looking for operators to leave in float, in words."""
    figure, limit = apart(search.int8_metric, search.float_metric, plain)
    lines = [
        f"the metric on validation data is {figure} in int8, {limit} in float; at most"
        f" {search.max_metric_drop:g} worse asked of quantising"
    ]
    if search.searched_drop is not None:
        lines.append(
            "the files lose more of it than torch's graph, so that at most"
            f" {search.searched_drop:.4g} was asked of the graph"
        )
    for kept in search.sets:
        chosen = "chosen" if kept.chosen else "not chosen"
        speed = "" if kept.latency_ms_p50 is None else f", p50 {milliseconds(kept.latency_ms_p50)}"
        in_file = "" if kept.file_metric is None else f", its file {plain(kept.file_metric)}"
        lines.append(
            f"{chosen}: {kept.label}, {len(kept.operators)} in float:"
            f" {plain(kept.metric)}{in_file}{speed}"
        )
    if search.metric_again is not None:
        lines.append(
            "after fine-tuning no set kept it; these were found before, and fine-tuned again it is"
            f" {plain(search.metric_again)}"
        )
    if not search.sets:
        lines.append(
            "nothing more had to stay in float"
            if search.keeps_in_int8
            else "no set of operators in float keeps it"
        )
    return lines
