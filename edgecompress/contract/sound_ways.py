"""Ways of preparing a sound: the declared one, and the usual mistakes, one of each kind at most."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from edgecompress.contract.sampling import Wave, interpolated, nearest, resampled
from edgecompress.contract.sound import LEVELS, Sound, channelled, cut, normalised, padded
from edgecompress.spec.preprocessing import AudioPreprocessing

Change = tuple[str, str]
"""A kind of mistake, and which of them."""

_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_NORMALISED = {
    "none": "divided by the full scale of its format",
    "peak": "divided by its largest absolute value",
    "rms": "divided by its root mean square",
    "standard": "brought to mean 0 and standard deviation 1",
}
_PARTS = {"start": "its first samples", "middle": "its middle", "end": "its last samples"}
_PADS = {"start": "before it", "both": "on both sides", "end": "after it"}


@dataclass(frozen=True)
class Ways:
    """All of them for one declaration; what several have in common is computed once."""

    declared: AudioPreprocessing
    sounds: tuple[Sound, ...]
    _waves: dict[tuple[int, str, str, str], Wave] = field(default_factory=dict)

    @property
    def changes(self) -> dict[str, dict[str, str]]:
        """What may be done otherwise: kind -> which -> what it is called."""
        return {
            "bytes": _BYTES,
            "channels": self._channels,
            "rate": self._rates,
            "cut": self._others("cut", self.declared.cut, _PARTS),
            "normalise": self._normalised,
            "pad": self._others("pad", self.declared.pad, _PADS)
            | {"again": "pad: a shorter sound is repeated, where zeros are wanted"},
            "layout": _LAYOUTS if self.declared.channels == 2 else {},
        }

    def of(self, mistakes: int) -> Iterator[tuple[Change, ...]]:
        """Every combination of so many, each of another kind."""
        changes = self.changes
        for kinds in combinations(changes, mistakes):
            yield from product(*([(kind, which) for which in changes[kind]] for kind in kinds))

    def names(self, way: tuple[Change, ...]) -> tuple[str, ...]:
        changes = self.changes
        return tuple(changes[kind][which] for kind, which in way)

    def prepared(self, way: tuple[Change, ...]) -> list[Wave]:
        """What becomes of every sound, each [channels, samples]."""
        chosen = dict(way)
        return [self._prepared(at, chosen) for at in range(len(self.sounds))]

    def _prepared(self, at: int, chosen: dict[str, str]) -> Wave:
        declared = self.declared
        wave = self._wave(
            at, chosen.get("bytes", ""), chosen.get("channels", ""), chosen.get("rate", "")
        )
        wave = cut(wave, declared.model_copy(update={"cut": chosen.get("cut", declared.cut)}))
        how = chosen.get("normalise", declared.normalise)
        if how == "padding too":
            return normalised(padded(wave, declared), declared)
        wave = normalised(wave, declared.model_copy(update={"normalise": how}))
        side = chosen.get("pad", declared.pad)
        if side == "again":
            times = -(-declared.samples // wave.shape[1])
            wave = np.tile(wave, (1, times))[:, : declared.samples]
        else:
            wave = padded(wave, declared.model_copy(update={"pad": side}))
        if chosen.get("layout"):
            return np.ascontiguousarray(wave.T).reshape(wave.shape)
        return wave

    def _wave(self, at: int, read: str, channels: str, rate: str) -> Wave:
        """At the network's rate, and with as many channels as that takes."""
        key = at, read, channels, rate
        if key not in self._waves:
            sound = self.sounds[at]
            wave = _READ[read](sound) / LEVELS
            mixed = _MIXED[channels](wave) if channels else channelled(wave, self.declared)
            self._waves[key] = self._at_rate(mixed, sound.rate_hz, rate)
        return self._waves[key]

    def _at_rate(self, wave: Wave, rate_hz: int, how: str) -> Wave:
        wanted = self.declared.sampling_rate_hz
        if how == "nearest":
            return nearest(wave, rate_hz, wanted)
        if how == "linear":
            return interpolated(wave, rate_hz, wanted)
        side, _, rate = how.partition(" ")
        if side == "from":
            return resampled(wave, int(rate), wanted)
        return resampled(wave, rate_hz, int(rate) if side == "to" else wanted)

    @property
    def _channels(self) -> dict[str, str]:
        if self.declared.channels == 2:
            return {
                "swapped": "channels: left and right are swapped",
                "same": "channels: both are the mean of the two",
            }
        wanted = {"mean": "their mean", "first": "the first"}[self.declared.mix]
        found = {
            "left": f"channels: the left one alone is taken, not {wanted}",
            "right": f"channels: the right one alone is taken, not {wanted}",
            "mean": f"channels: their mean is taken, not {wanted}",
            "flat": f"channels: samples of both are taken one after the other, not {wanted}",
        }
        del found[{"mean": "mean", "first": "left"}[self.declared.mix]]
        return found

    @property
    def _rates(self) -> dict[str, str]:
        wanted = self.declared.sampling_rate_hz
        known = {sound.rate_hz for sound in self.sounds}
        found = {
            f"from {wanted}": f"sampling rate: samples are taken as they are, whatever their rate;"
            f" bring them to {wanted} Hz",
            "nearest": "sampling rate: samples are left out with no filter before",
            "linear": "sampling rate: interpolated on lines, with no low-pass filter before",
        }
        for rate in sorted({*_RATES, *known} - {wanted}):
            found[f"from {rate}"] = f"sampling rate: every sound is taken to be of {rate} Hz"
            found[f"to {rate}"] = f"sampling rate: brought to {rate} Hz, not to {wanted} Hz"
        return found

    @property
    def _normalised(self) -> dict[str, str]:
        declared = self.declared.normalise
        found = {
            which: f"normalise: the sound is {told}, not {_NORMALISED[declared]}"
            for which, told in _NORMALISED.items()
            if which != declared
        }
        if declared != "none":
            found["padding too"] = "normalise: the zeros around the sound are counted as well"
        return found

    @staticmethod
    def _others(key: str, declared: str, told: dict[str, str]) -> dict[str, str]:
        text = {"cut": "a longer sound is cut to {}, not to {}", "pad": "zeros come {}, not {}"}[
            key
        ]
        return {
            which: f"{key}: " + text.format(told[which], told[declared])
            for which in told
            if which != declared
        }


def _as_integers(content: bytes, kind: str) -> Wave:
    """Both channels [2, frames] of bytes that are taken for samples one after the other."""
    whole = content[: len(content) - len(content) % 4]
    channels: Wave = np.frombuffer(whole, kind).astype(np.float64).reshape(-1, 2).T
    return channels


_READ: dict[str, Callable[[Sound], Wave]] = {
    "": lambda sound: sound.frames.T.astype(np.float64),
    "big": lambda sound: sound.frames.astype("<i2").view(">i2").T.astype(np.float64),
    "unsigned": lambda sound: sound.frames.view(np.uint16).T.astype(np.float64),
    "offset": lambda sound: sound.frames.view(np.uint16).T.astype(np.float64) - LEVELS,
    "header": lambda sound: _as_integers(sound.content, "<i2"),
}
_BYTES = {
    "big": "bytes: the high one is taken for the low one; WAV files are little-endian",
    "unsigned": "bytes: samples are taken to have no sign; those of 16 bits have one",
    "offset": "bytes: samples are taken to have no sign, and half of the scale is subtracted;"
    " those of 16 bits have one",
    "header": "bytes: the header of the WAV file is taken for samples",
}
_MIXED: dict[str, Callable[[Wave], Wave]] = {
    "left": lambda wave: wave[:1],
    "right": lambda wave: wave[1:2],
    "mean": lambda wave: wave.mean(axis=0, keepdims=True),
    "flat": lambda wave: np.ascontiguousarray(wave.T).reshape(1, -1),
    "swapped": lambda wave: wave[::-1],
    "same": lambda wave: wave.mean(axis=0, keepdims=True).repeat(2, axis=0),
}
_LAYOUTS = {
    "frames": "layout: left and right by turns, where all of left comes before all of right"
}
