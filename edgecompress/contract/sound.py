"""The sounds that applications are tried with, sounds from files, and how they are prepared."""

import io
import math
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecompress.contract.sampling import Wave, resampled
from edgecompress.errors import SpecError, StorageError
from edgecompress.spec.preprocessing import AudioPreprocessing

LEVELS = 1 << 15
"""Full scale of 16 bits."""
_SEED = 20261130
_MOST_FRAMES = 1 << 26
_LONGER, _SHORTER = 4 / 3, 0.6
_PASSED, _STOPPED = 0.7, 1.4
"""What of half the network's rate a sound has anything up to, and where it has a tone that must not
come through."""


@dataclass(frozen=True)
class Sound:
    frames: NDArray[np.int16]
    """[frames, 2]"""
    rate_hz: int

    @property
    def content(self) -> bytes:
        """A WAV file of it."""
        file = io.BytesIO()
        with wave.open(file, "wb") as written:
            written.setnchannels(2)
            written.setsampwidth(2)
            written.setframerate(self.rate_hz)
            written.writeframes(self.frames.astype("<i2").tobytes())
        return file.getvalue()


def drawn(declared: AudioPreprocessing) -> tuple[Sound, Sound]:
    """Two that no two ways of preparing make the same of. Each has two channels that differ and
    change in the course of it. The first is of the network's rate, longer than what it takes: its
    samples need no filter, so they are compared closely. The second is shorter, quieter, of a
    higher rate, and has a tone that the network's rate cannot hold.
    """
    rate, other = declared.sampling_rate_hz, _other_rate(declared.sampling_rate_hz)
    # As many more as leave the middle a whole sample, wherever that is rounded to.
    more = 2 * max(math.ceil(declared.samples * (_LONGER - 1) / 2), 8)
    # As many as are a whole number at the network's rate too, an even number short of its samples.
    block = other // math.gcd(rate, other)
    step = rate // math.gcd(rate, other)
    blocks = max(int(declared.samples * _SHORTER / step), 1)
    if (declared.samples - blocks * step) % 2 and step % 2 and blocks > 1:
        blocks -= 1
    first = _drawn(declared.samples + more, rate, rate, seed=_SEED)
    return first, _drawn(blocks * block, other, rate, seed=_SEED + 1)


def _other_rate(rate_hz: int) -> int:
    return next((rate for rate in (48000, 96000) if rate >= 1.5 * rate_hz), 2 * rate_hz)


def _drawn(count: int, rate_hz: int, network_hz: int, seed: int) -> Sound:
    """Noise within the network's band, louder on one side at first and on the other at last."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal((2, count)))
    frequencies = np.fft.rfftfreq(count, 1 / rate_hz)
    # Low sounds are the loudest, as in speech.
    weights = 1 / (1 + frequencies / (0.1 * network_hz))
    spectrum *= np.where(frequencies < _PASSED * network_hz / 2, weights, 0)
    noise = np.fft.irfft(spectrum, count)
    place = np.arange(count) / count
    loudness = np.stack([0.25 + 0.75 * place, 1 - 0.6 * place])
    waves = 0.2 * loudness * noise / noise.std() + 0.05
    if rate_hz != network_hz:
        high = np.sin(2 * math.pi * _STOPPED * network_hz / 2 * np.arange(count) / rate_hz)
        waves = 0.5 * waves + 0.06 * high
    # Filters differ at an edge; a sound that begins softly has none.
    edge = max(count // 50, 1)
    fade = np.minimum(1, np.minimum(np.arange(count), np.arange(count)[::-1]) / edge)
    levels = np.rint(waves * fade * LEVELS).clip(-LEVELS, LEVELS - 1)
    return Sound(np.ascontiguousarray(levels.T.astype(np.int16)), rate_hz)


def read_sound(path: Path) -> tuple[Wave, int]:
    """A WAV file's channels [channels, frames], -1 to 1, and its sampling rate in Hz.

    Raises:
        SpecError: it is missing, no WAV file of whole numbers, empty, or too long.

    """
    try:
        with path.open("rb") as file, wave.open(file) as opened:
            channels, width, rate = (
                opened.getnchannels(),
                opened.getsampwidth(),
                opened.getframerate(),
            )
            frames = opened.getnframes()
            if frames > _MOST_FRAMES:
                raise SpecError(
                    f"{path}: has {frames:,} frames; at most {_MOST_FRAMES:,} are read: cut it"
                )
            content = opened.readframes(frames)
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except (wave.Error, EOFError, ValueError, RuntimeError, OverflowError) as error:
        text = (str(error).strip() or "it ends too early").splitlines()[0]
        raise SpecError(
            f"{path}: is no WAV file of whole numbers that can be read: {text}; save it as 16-bit"
            " PCM"
        ) from None
    if not channels or not 1 <= width <= 4 or not rate:
        raise SpecError(
            f"{path}: says that it has {channels} channels of {8 * width} bits at {rate} Hz; save"
            " it as 16-bit PCM"
        )
    whole = len(content) - len(content) % (width * channels)
    if not whole:
        raise SpecError(f"{path}: holds no sound")
    return _scaled(content[:whole], width).reshape(-1, channels).T, rate


def _scaled(content: bytes, width: int) -> Wave:
    """-1 to 1; 8 bits have no sign, all others have."""
    if width == 1:
        return (np.frombuffer(content, np.uint8).astype(np.float64) - 128) / 128
    parts = np.frombuffer(content, np.uint8).reshape(-1, width)
    # The lowest bytes are filled up, so that all are 32 bits wide.
    wide = np.zeros((len(parts), 4), np.uint8)
    wide[:, 4 - width :] = parts
    return wide.view("<i4")[:, 0] / float(1 << 31)


def prepare(sound: Wave, rate_hz: int, declared: AudioPreprocessing) -> Wave:
    """The network's input for a sound [channels, frames] of -1 to 1: [channels, samples].

    Raises:
        SpecError: it has more channels than the network can be given.

    """
    mixed = channelled(sound, declared)
    return finished(resampled(mixed, rate_hz, declared.sampling_rate_hz), declared)


def channelled(sound: Wave, declared: AudioPreprocessing) -> Wave:
    """As many channels as the network takes; one is given twice where it takes two.

    Raises:
        SpecError: as `prepare`.

    """
    if declared.channels == 1:
        return sound.mean(axis=0, keepdims=True) if declared.mix == "mean" else sound[:1]
    if len(sound) > declared.channels:
        raise SpecError(
            f"the sound has {len(sound)} channels, and the network takes {declared.channels}; mix"
            " it first"
        )
    return np.repeat(sound, declared.channels, axis=0) if len(sound) == 1 else sound


def finished(sound: Wave, declared: AudioPreprocessing) -> Wave:
    """Cut, normalised and padded."""
    return padded(normalised(cut(sound, declared), declared), declared)


def cut(sound: Wave, declared: AudioPreprocessing) -> Wave:
    over = max(sound.shape[1] - declared.samples, 0)
    first = {"start": 0, "middle": over // 2, "end": over}[declared.cut]
    return sound[:, first : first + declared.samples]


def normalised(sound: Wave, declared: AudioPreprocessing) -> Wave:
    """All channels of a sound by the same factor; silence stays silent."""
    if declared.normalise == "standard":
        sound = sound - sound.mean()
    measures = {
        "none": lambda: 1.0,
        "peak": lambda: float(np.abs(sound).max()),
        "rms": lambda: float(np.sqrt(np.square(sound).mean())),
        "standard": lambda: float(sound.std()),
    }
    measure = measures[declared.normalise]()
    return sound * (declared.full_scale / measure) if measure > 0 else sound


def padded(sound: Wave, declared: AudioPreprocessing) -> Wave:
    lacking = max(declared.samples - sound.shape[1], 0)
    before = {"start": lacking, "both": lacking // 2, "end": 0}[declared.pad]
    return np.pad(sound, ((0, 0), (before, lacking - before)))


def write_sound(sound: Sound, path: Path) -> None:
    """Write a WAV file.

    Raises:
        StorageError: it cannot be written.

    """
    try:
        path.write_bytes(sound.content)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from None
