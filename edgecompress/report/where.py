"""Where two files differ, as small pictures: curves of inputs, and maps of what a file looks at."""

from collections.abc import Sequence
from typing import NamedTuple

from edgecompress.spec.looks import Exemplar, Looks, Map, Occlusion, Shown

MOST_EXEMPLARS = 8
MOST_MAPS = 4
_SIDE = 96.0


class Pictured(NamedTuple):
    """A sample with an input that can be shown, and pictures beside it."""

    sample: Exemplar | Occlusion
    png: str
    """A data: address of an image; '' where the input is none."""
    curve: str
    """An <svg> element; '' where the input is no curve."""
    text: str
    maps: tuple[str, ...] = ()
    """Before and after, each an <svg> element."""


def exemplars(looks: Looks | None) -> list[Pictured]:
    """The samples on which the files differ most."""
    found = () if looks is None else looks.exemplars[:MOST_EXEMPLARS]
    return [Pictured(one, *_input(one.shown)) for one in found]


def occlusions(looks: Looks | None) -> list[Pictured]:
    """Maps of which parts of a sample the answers depend on."""
    found = () if looks is None else looks.occlusions[:MOST_MAPS]
    return [
        Pictured(
            one,
            *_input(one.shown),
            (_heat(one.before, "the original's map"), _heat(one.after, "the candidate's map")),
        )
        for one in found
    ]


def _input(shown: Shown | None) -> tuple[str, str, str]:
    if shown is None:
        return "", "", ""
    png = f"data:image/png;base64,{shown.png_base64}" if shown.png_base64 else ""
    return png, _curve(shown.curve) if shown.curve else "", shown.text or ""


def _curve(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    span = high - low if high > low else 1.0
    width = max(len(values) - 1, 1)
    points = " ".join(
        f"{_SIDE * place / width:.1f},{_SIDE / 2 * (1 - (value - low) / span):.1f}"
        for place, value in enumerate(values)
    )
    return (
        f'<svg viewBox="0 -2 {_SIDE:g} {_SIDE / 2 + 4:g}" role="img" aria-label="the input">'
        f'<polyline points="{points}" style="fill:none;stroke:var(--candidate);stroke-width:1"/>'
        "</svg>"
    )


def _heat(rows: Map, name: str) -> str:
    """Cells, the darker the more the answer depends on them."""
    height = len(rows) if len(rows) > 1 else 0.25 * max(map(len, rows), default=1)
    width = max(map(len, rows), default=1)
    tall = height / max(len(rows), 1)
    cells = "".join(
        f'<rect x="{x}" y="{y * tall:g}" width="1.02" height="{tall * 1.02:g}"'
        f' style="fill:var(--candidate);fill-opacity:{min(max(value, 0.0), 1.0):.2f}"/>'
        for y, row in enumerate(rows)
        for x, value in enumerate(row)
    )
    return f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{name}">{cells}</svg>'
