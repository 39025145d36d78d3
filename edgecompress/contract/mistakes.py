"""The usual mistakes in preparing a picture, alone and together, and which of them explain what an
application gives a network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgecompress.artifact import Layout
from edgecompress.contract.levels import as_levels, takes_levels
from edgecompress.contract.prepare import Picture, coloured, normalised, resized
from edgecompress.contract.reference import Departure, Numbers
from edgecompress.spec.preprocessing import ImagePreprocessing, Interpolation

_LEVELS = 1.0
"""So many levels of 255 may two libraries differ by on average, because each rounds in its way."""
_SWAPPED = {"rgb": "bgr", "bgr": "rgb"}
_RULES = {
    "stretch": "stretched to the size, whatever the picture's shape",
    "crop": "the shorter side made to fit and the middle cut out",
    "letterbox": "the longer side made to fit and the rest filled",
}
_FILLS = (0, 114, 127, 128, 255)


@dataclass(frozen=True)
class Way:
    """One way of preparing a picture; what is not as declared is a mistake."""

    mistakes: tuple[str, ...]
    prepared: Numbers
    level: float
    """How much of it one level of 255 is, on average over channels."""

    def levels(self, given: Numbers) -> float | None:
        """How far from it a tensor is on average; None where the shapes differ."""
        if given.shape != self.prepared.shape:
            return None
        return float(_gaps(given, self.prepared).mean()) / self.level


def departure(
    given: Numbers, picture: Picture, declared: ImagePreprocessing, layout: Layout | None
) -> Departure:
    """Which of the usual mistakes an application made.

    Args:
        given: what it would give to the file, as real numbers.
        picture: what it was given, [height, width, 3] RGB.
        declared: what the file says.
        layout: of the file's input.

    """
    if takes_levels(declared):
        inside = declared.scale, declared.mean, declared.std
        return _Trial(picture, as_levels(declared), layout, inside).judged(given)
    return _Trial(picture, declared, layout).judged(given)


@dataclass(frozen=True)
class _Trial:
    picture: Picture
    declared: ImagePreprocessing
    layout: Layout | None
    inside: tuple[float, tuple[float, ...], tuple[float, ...]] | None = None
    """Scale, mean and standard deviation that the file applies itself."""

    def judged(self, given: Numbers) -> Departure:
        right = next(self.ways())
        levels = right.levels(given)
        if levels is not None and levels <= _LEVELS:
            return Departure(True, (), levels, "as declared")
        found: Way | None = None
        for way in self.ways():
            apart = way.levels(given)
            is_it = apart is not None and apart <= _LEVELS
            if is_it and (found is None or len(way.mistakes) < len(found.mistakes)):
                found = way
        if found is not None:
            return Departure(False, found.mistakes, levels, "; ".join(found.mistakes))
        return Departure(False, (), levels, _unexplained(given, right.prepared, levels))

    def ways(self) -> Iterator[Way]:
        """The declared one first, then every combination of mistakes."""
        for colour_mistakes, picture in self._coloured():
            for size_mistakes, small in self._resized(picture):
                for value_mistakes, how in self._values:
                    mistakes = (*colour_mistakes, *size_mistakes, *value_mistakes)
                    values, level = normalised(small, how).astype(np.float64), _level(how)
                    for place_mistakes, prepared in self._laid_out(values):
                        yield Way((*mistakes, *place_mistakes), prepared, level)

    def _coloured(self) -> Iterator[tuple[tuple[str, ...], Picture]]:
        declared = self.declared
        yield (), coloured(self.picture, declared)
        if declared.colours != "gray":
            other = coloured(self.picture, declared)[:, :, ::-1]
            text = f"colours are in the order of {_SWAPPED[declared.colours]}, not"
            yield (f"{text} {declared.colours}",), np.ascontiguousarray(other)

    def _resized(self, picture: Picture) -> Iterator[tuple[tuple[str, ...], Picture]]:
        for rule_mistakes, rule in self._rules:
            for how_mistakes, how in _interpolated(rule):
                yield (*rule_mistakes, *how_mistakes), resized(picture, how)
            if rule.resize == "letterbox":
                text = "letterbox: the picture is in the corner, not in the middle"
                yield (*rule_mistakes, text), _in_the_corner(resized(picture, rule), rule, picture)

    @cached_property
    def _rules(self) -> list[tuple[tuple[str, ...], ImagePreprocessing]]:
        declared = self.declared
        found: list[tuple[tuple[str, ...], ImagePreprocessing]] = [((), declared)]
        if declared.shorter is not None:
            text = f"the shorter side is not made {declared.shorter} before the middle is cut out"
            found.append(((text,), declared.model_copy(update={"shorter": None})))
        if declared.resize == "letterbox":
            for fill in _FILLS:
                text = f"letterbox: filled with {fill}, not with {declared.fill}"
                if fill != declared.fill:
                    found.append(((text,), declared.model_copy(update={"fill": fill})))
        for rule, words in _RULES.items():
            if rule != declared.resize:
                other = declared.model_copy(update={"resize": rule, "shorter": None})
                found.append(((f"resize: {words}, not {_RULES[declared.resize]}",), other))
        return found

    @cached_property
    def _values(self) -> list[tuple[tuple[str, ...], ImagePreprocessing]]:
        declared = self.declared
        scale, mean, std = declared.scale, declared.mean, declared.std
        tried: list[tuple[str, dict[str, object]]] = [
            ("scale: levels are left as they are", {"scale": 1.0, "mean": (), "std": ()}),
            ("scale: levels are divided by 255 and nothing else", _only(1 / 255)),
            ("scale: levels are brought to between -1 and 1", _only(1 / 127.5, 1.0)),
            ("scale: applied twice", {"scale": scale * scale}),
            ("scale: left out before mean and std", {"scale": 1.0}),
            ("mean: not subtracted", {"mean": ()}),
            ("std: not divided by", {"std": ()}),
            ("mean and std: left out", {"mean": (), "std": ()}),
            (
                "mean and std: in the other order of channels",
                {"mean": mean[::-1], "std": std[::-1]},
            ),
            (
                "std: multiplied by, not divided by",
                {"std": tuple(1 / x for x in std)},
            ),
        ]
        if self.inside is not None:
            update = dict(zip(("scale", "mean", "std"), self.inside, strict=True))
            tried.insert(0, ("scale, mean and std: applied, where the file does that", update))
        found: list[tuple[tuple[str, ...], ImagePreprocessing]] = [((), declared)]
        known = [declared]
        for text, update in tried:
            other = declared.model_copy(update=update)
            # Without a mean, leaving it out is no mistake; and one name for one thing is enough.
            if other not in known:
                known.append(other)
                found.append(((text,), other))
        return found

    def _laid_out(self, values: Numbers) -> Iterator[tuple[tuple[str, ...], Numbers]]:
        """`values`: [1, channels, height, width]."""
        last = values.transpose(0, 2, 3, 1)
        is_last = self.layout == "nhwc"
        here, other = (last, values) if is_last else (values, last)
        yield (), here
        order = "[1, height, width, channels]", "[1, channels, height, width]"
        there, wanted = order if not is_last else order[::-1]
        if values.shape[1] > 1:
            yield (f"layout: {there}, not {wanted}",), other
            text = f"layout: the numbers of {there} are taken for {wanted} as they lie"
            yield (text,), np.ascontiguousarray(other).reshape(here.shape)
        turned = values.transpose(0, 1, 3, 2)
        sides = turned.transpose(0, 2, 3, 1) if is_last else turned
        yield ("layout: height and width are swapped",), sides


def _level(how: ImagePreprocessing) -> float:
    spread = how.std if how.std else (1.0,)
    return abs(how.scale) * sum(1 / each for each in spread) / len(spread)


def _only(scale: float, mean: float | None = None) -> dict[str, object]:
    means = () if mean is None else (mean,)
    return {"scale": scale, "mean": means, "std": ()}


def _interpolated(
    rule: ImagePreprocessing,
) -> Iterator[tuple[tuple[str, ...], ImagePreprocessing]]:
    yield (), rule
    ways: list[tuple[Interpolation, bool]] = [("nearest", True)]
    ways += [(name, flag) for name in ("bilinear", "bicubic") for flag in (True, False)]
    for name, antialias in ways:
        same = name == rule.interpolation and (name == "nearest" or antialias == rule.antialias)
        if same:
            continue
        told, declared = _told(name, antialias), _told(rule.interpolation, rule.antialias)
        other = rule.model_copy(update={"interpolation": name, "antialias": antialias})
        yield (f"interpolation: {told}, not {declared}",), other


def _told(interpolation: Interpolation, antialias: bool) -> str:
    if interpolation == "nearest":
        return interpolation
    return f"{interpolation} {'with' if antialias else 'without'} antialiasing"


def _in_the_corner(boxed: Picture, rule: ImagePreprocessing, picture: Picture) -> Picture:
    """The letterbox with all of its border at the right and below."""
    ratio = min(rule.size[0] / picture.shape[0], rule.size[1] / picture.shape[1])
    tall, wide = (min(round(picture.shape[i] * ratio), rule.size[i]) for i in (0, 1))
    top, left = (rule.size[0] - tall) // 2, (rule.size[1] - wide) // 2
    canvas = np.full_like(boxed, rule.fill)
    canvas[:tall, :wide] = boxed[top : top + tall, left : left + wide]
    return canvas


def _unexplained(given: Numbers, right: Numbers, levels: float | None) -> str:
    if levels is None:
        return f"its shape is {list(given.shape)}, and the file takes {list(right.shape)}"
    place = np.unravel_index(int(np.argmax(_gaps(given, right))), right.shape)
    most = f"{given[place]:g} in place of {right[place]:g} at {[int(i) for i in place]}"
    return (
        f"no usual mistake gives these numbers: they are {levels:.1f} of 255 levels off on average,"
        f" and at most {most}"
    )


def _gaps(given: Numbers, other: Numbers) -> Numbers:
    gaps = np.abs(given - other)
    return np.where(np.isfinite(gaps), gaps, np.inf)
