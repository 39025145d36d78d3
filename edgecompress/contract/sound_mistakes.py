"""Which of the usual mistakes in preparing a sound explain what an application gives a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecompress.contract.reference import Departure, Numbers
from edgecompress.contract.sound import LEVELS, Sound
from edgecompress.contract.sound_ways import Change, Ways
from edgecompress.spec.preprocessing import AudioPreprocessing

_CLOSE, _RESAMPLED, _NOISE = 0.002, 0.03, 0.4
"""What two applications that do the same may differ by, of the sound's root mean square: where
samples are only scaled and added; where each has a filter of its own; and where that cuts through
what it is given, as it does where bytes or rates are mistaken."""
_SAME_SCALE = 0.001
_MOST_MISTAKES = 2
"""Beside a wrong scale."""
_FACTORS = {
    float(LEVELS): "levels of 16 bits are left as they are",
    1.0 / LEVELS: "divided by 32768 twice, or where levels of 16 bits are wanted",
    LEVELS / 255: "levels of 16 bits are divided by 255",
    LEVELS / 128: "levels of 16 bits are divided by 128, as those of 8 bits are",
    0.5: "divided by 65536, not by 32768",
    1.0 / (1 << 16): "levels of 16 bits are divided as those of 32 are",
    2.0: "twice as large, as where two channels are added and not averaged",
    -1.0: "the sign is turned",
}


@dataclass(frozen=True)
class _Found:
    way: tuple[Change, ...]
    factor: float
    apart: float
    """As what is left of it where the factor is taken out, of the limits."""

    @property
    def is_scaled(self) -> bool:
        exact = _limits(self.way)[0] == _CLOSE
        return abs(self.factor - 1) > (_SAME_SCALE if exact else _RESAMPLED)

    @property
    def mistakes(self) -> int:
        return len(self.way) + self.is_scaled

    @property
    def rank(self) -> tuple[int, float]:
        """The lower, the better does it explain what is given."""
        return self.mistakes, self.apart


def departure(
    given: Sequence[Numbers],
    sounds: tuple[Sound, Sound],
    declared: AudioPreprocessing,
    step: float = 0.0,
) -> Departure:
    """Which of the usual mistakes an application made.

    Args:
        given: what it would give to the file for each sound, of as many numbers as that takes.
        sounds: what it was given.
        declared: what the file says.
        step: of the file's input, where that is of integers.

    """
    ways = Ways(declared, sounds)
    right = ways.prepared(())
    shape = right[0].shape
    if not all(np.isfinite(each).all() for each in given):
        return Departure(False, (), None, "there are numbers that are not finite")
    flat = [each.reshape(shape) for each in given]
    share = max(_share(have, want) for have, want in zip(flat, right, strict=True))
    found = _explained(ways, flat, step, range(2))
    if found is None and (shift := _shift(flat, right)):
        where = "late" if shift > 0 else "early"
        told = f"offset: the sound lies {abs(shift)} samples too {where}"
        return Departure(False, (told,), None, told, share)
    if found is None:
        found = _explained(ways, flat, step, range(2, _MOST_MISTAKES + 1))
    if found is None:
        return Departure(False, (), None, _unexplained(flat, right, share), share)
    if not found.mistakes:
        return Departure(True, (), None, _remark(found.factor), share)
    names = ways.names(found.way)
    if found.is_scaled:
        names = (*names, _scale_told(found.factor, declared.full_scale))
    return Departure(False, names, None, "; ".join(names), share)


def _explained(ways: Ways, given: list[Numbers], step: float, tried: range) -> _Found | None:
    """The fewest mistakes that give these numbers, beside a wrong scale one of so many."""
    best: _Found | None = None
    for mistakes in tried:
        for way in ways.of(mistakes):
            found = _compared(given, ways, way, step)
            if found is not None and (best is None or found.rank < best.rank):
                best = found
        # One more can be no fewer than what is found.
        if best is not None and best.mistakes <= mistakes + 1:
            return best
    return best


def _compared(
    given: list[Numbers], ways: Ways, way: tuple[Change, ...], step: float
) -> _Found | None:
    """Whether all numbers are what a way gives, or as many times as large."""
    factors, apart = [], 0.0
    for have, want, limit in zip(given, ways.prepared(way), _limits(way), strict=True):
        energy = float(np.vdot(want, want))
        factor = float(np.vdot(have, want)) / energy if energy else 0.0
        if not factor:
            return None
        left = float(np.sqrt(np.square(have - factor * want).mean()))
        share = left / (limit * abs(factor) * float(np.sqrt(energy / want.size)) + step)
        if share > 1:
            return None
        factors.append(factor)
        apart = max(apart, share)
    # The first sound has no filter in its way, so that its factor is the more exact.
    same = abs(factors[1] / factors[0] - 1) <= _limits(way)[1]
    return _Found(way, factors[0], apart) if same else None


def _limits(way: tuple[Change, ...]) -> tuple[float, float]:
    """What each of the two sounds may be off."""
    misread = any(kind == "bytes" for kind, _ in way)
    mistaken = any(kind == "rate" and " " in which for kind, which in way)
    first = _NOISE if mistaken else _CLOSE
    return first, _NOISE if misread or mistaken else _RESAMPLED


def _share(given: Numbers, right: Numbers) -> float:
    return float(np.sqrt(np.square(given - right).mean() / max(np.square(right).mean(), 1e-30)))


def _scale_told(factor: float, full_scale: float) -> str:
    for known, told in _FACTORS.items():
        # The levels are those of the sound's file, whatever is wanted of them.
        in_levels = abs(known) in (float(LEVELS), LEVELS / 255, LEVELS / 128)
        if abs(factor / (known / full_scale if in_levels else known) - 1) <= _SAME_SCALE:
            return f"scale: {told}"
    return f"scale: all numbers are {factor:.4g} times as large as they should be"


def _remark(factor: float) -> str:
    if abs(factor * (LEVELS - 1) / LEVELS - 1) < 1e-5 < abs(factor - 1):
        return "as declared, but for a division by 32767 in place of 32768, which does no harm"
    return "as declared"


def _unexplained(given: list[Numbers], right: list[Numbers], share: float) -> str:
    at = max(range(len(given)), key=lambda i: _share(given[i], right[i]))
    place = np.unravel_index(int(np.argmax(np.abs(given[at] - right[at]))), right[at].shape)
    return (
        f"no usual mistake gives these numbers: they are {share:.0%} off, and at most"
        f" {given[at][place]:g} in place of {right[at][place]:g} at sample {int(place[-1])} of the"
        f" {('first', 'second')[at]} sound"
    )


def _shift(given: list[Numbers], right: list[Numbers]) -> int:
    """The number of samples by which both sounds lie too late, where that is all; else 0."""
    shifts = {_best_shift(have, want) for have, want in zip(given, right, strict=True)}
    shift = shifts.pop()
    size = right[0].shape[1]
    if shifts or not shift or abs(shift) > size // 2:
        return 0
    for have, want, close in zip(given, right, (_CLOSE, _RESAMPLED), strict=True):
        here, there = slice(max(shift, 0), size + min(shift, 0)), slice(max(-shift, 0), None)
        part = want[:, there][:, : size - abs(shift)]
        if _share(have[:, here], part) > close:
            return 0
    return shift


def _best_shift(given: Numbers, right: Numbers) -> int:
    size = 2 * right.shape[1]
    spectra = np.fft.rfft(given, size) * np.conj(np.fft.rfft(right, size))
    place = int(np.argmax(np.fft.irfft(spectra, size).sum(axis=0)))
    return place if place < size // 2 else place - size
