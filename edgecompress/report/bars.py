"""Charts of one bar for each layer or operator."""

from collections.abc import Sequence
from typing import NamedTuple

from edgecompress.report.svg import (
    CANDIDATE,
    FLOAT,
    GRID,
    INT8,
    OTHER,
    REMOVED,
    SMALL,
    WIDTH,
    Drawing,
    Scale,
    Stroke,
    Type,
    label,
)
from edgecompress.shown import shown
from edgecompress.spec.measurement import Op
from edgecompress.spec.report import LayerRow, QuantizationNoise

MOST_BARS = 60
"""More make a chart that nobody reads; the table below it has all."""
MOST_OPERATORS = 20
LONGEST_NAME = 24
_ROW = 15.0
_LEFT = 132.0


class Bar(NamedTuple):
    name: str
    value: float
    colour: str
    text: str = ""
    """Written behind it."""
    before: float = 0.0
    """The end of a second bar behind the first."""


def layers(rows: Sequence[LayerRow]) -> tuple[str, Drawing]:
    """Output channels of each layer, in the colour of what it computes in."""
    bars = [
        Bar(row.name, row.channels_after, _dtype_colour(row.dtype), before=row.channels_before)
        for row in rows
    ]
    dtypes = sorted({row.dtype or "not known" for row in rows})
    keys = [(dtype, _dtype_colour(dtype)) for dtype in dtypes]
    if any(row.channels_after < row.channels_before for row in rows):
        keys.append(("removed", REMOVED))
    before = sum(row.channels_before for row in rows)
    kept = sum(row.channels_after for row in rows)
    described = f"{len(rows)} layers, {before:,} channels before and {kept:,} after"
    return described, _bars(bars, "output channels", keys)


def times(ops: Sequence[Op]) -> tuple[str, Drawing]:
    """Time of each operator by the runtime's own counters, the longest first."""
    timed = [(0.0 if op.time_us is None else op.time_us, op) for op in ops]
    timed.sort(key=lambda each: -each[0])
    total = sum(time for time, _ in timed)
    bars = [
        Bar(
            f"{op.op_type} {op.module or op.name}",
            time,
            _dtype_colour(op.dtype),
            f"{100 * time / total:.0f} %" if total else "",
        )
        for time, op in timed[:MOST_OPERATORS]
        if time > 0
    ]
    keys = [(dtype, _dtype_colour(dtype)) for dtype in sorted({op.dtype for _, op in timed})]
    first = ", ".join(f"{bar.name} {bar.text}" for bar in bars[:3])
    described = f"{total:.0f} microseconds in {len(timed)} operators; most in {first}"
    return described, _bars(bars, "us in one inference", keys)


def noise(found: QuantizationNoise) -> tuple[str, Drawing]:
    """SQNR at the outputs with one operator quantised, the worst first."""
    known = [(row, row.alone_db) for row in found.operators if row.alone_db is not None]
    bars = [
        Bar(row.name, max(db, 0.0), CANDIDATE, f"{db:.1f}") for row, db in known[:MOST_OPERATORS]
    ]
    more = f", of {len(known)}" * (len(known) > MOST_OPERATORS)
    worst = ", ".join(f"{row.name} {db:.1f} dB" for row, db in known[:3])
    described = f"the {len(bars)} operators that cost most{more}: {worst}"
    return described, _bars(bars, "dB at the outputs, alone in int8; more is better", ())


def _bars(bars: Sequence[Bar], unit: str, keys: Sequence[tuple[str, str]]) -> Drawing:
    shown_bars = bars[:MOST_BARS]
    top = 18.0 if keys else 4.0
    bottom = top + _ROW * max(len(shown_bars), 1)
    drawing = Drawing(max(bottom + 30, 150))
    x = 0.0
    for name, colour in keys:
        drawing.bar((x, 2), 9, 9, colour)
        drawing.text((x + 13, 10), name, Type(size=10))
        x += 26 + 6 * len(shown(name))
    most = max((max(bar.value, bar.before) for bar in shown_bars), default=0.0)
    scale = Scale(0.0, most if most > 0 else 1.0, _LEFT, WIDTH - 30.0)
    for tick in scale.ticks(5):
        drawing.line([(scale(tick), top), (scale(tick), bottom)], Stroke(GRID))
        drawing.text((scale(tick), bottom + 11), label(tick), SMALL._replace(anchor="middle"))
    for index, bar in enumerate(shown_bars):
        y = top + index * _ROW + 2
        drawing.text((_LEFT - 5, y + 8.5), _short(bar.name), Type(size=9, anchor="end"))
        if bar.before > bar.value:
            drawing.bar((_LEFT, y), scale(bar.before) - _LEFT, _ROW - 4, REMOVED)
        drawing.bar((_LEFT, y), scale(bar.value) - _LEFT, _ROW - 4, bar.colour)
        if bar.text:
            drawing.text((scale(max(bar.value, bar.before)) + 3, y + 8.5), bar.text)
    if len(bars) > len(shown_bars):
        unit = f"{unit}; {len(bars) - len(shown_bars)} more in the table"
    drawing.text((WIDTH - 8, bottom + 25), unit, SMALL._replace(anchor="end"))
    return drawing


def _dtype_colour(dtype: str | None) -> str:
    if dtype in ("int8", "uint8"):
        return INT8
    return FLOAT if dtype in ("float32", "float16") else OTHER


def _short(name: str) -> str:
    """A name that leaves room for its bar: the middle goes, because both ends tell layers apart."""
    name = shown(name)
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
