"""Sounds as they come: of any width, rate and number of channels, whole or damaged."""

import wave
from pathlib import Path

import numpy as np
import pytest

from edgecompress.contract.sampling import resampled
from edgecompress.contract.sound import drawn, prepare, read_sound, write_sound
from edgecompress.errors import SpecError
from edgecompress.spec.base import parse
from edgecompress.spec.preprocessing import AudioPreprocessing

WAVE = np.array([[-1.0, -0.5, 0.0, 0.25, 0.75], [0.5, 0.25, 0.0, -0.25, -0.5]])


def written(path: Path, width: int, rate_hz: int = 8000) -> Path:
    """All numbers of `WAVE` are levels of any width."""
    whole = np.rint(WAVE.T * 2 ** (8 * width - 1)).astype(np.int64)
    content = whole.astype("<i8").tobytes()
    parts = [content[at : at + width] for at in range(0, len(content), 8)]
    if width == 1:
        parts = [bytes([value + 128]) for value in whole.ravel().tolist()]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(b"".join(parts))
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_is_read(tmp_path: Path, width: int) -> None:
    sound, rate_hz = read_sound(written(tmp_path / "x.wav", width, 11025))
    assert rate_hz == 11025
    assert np.array_equal(sound, WAVE)


def test_what_is_no_sound_is_one_line(tmp_path: Path) -> None:
    path = written(tmp_path / "x.wav", 2)
    content = path.read_bytes()
    for bad, words in (
        (b"", "no WAV file"),
        (b"hello", "no WAV file"),
        (content[:30], "no WAV file"),
        (content[:44], "holds no sound"),
        (content[:20] + b"\x03\x00" + content[22:], "unknown format: 3; save it as 16-bit PCM"),
        (content[:34] + b"\x40\x00" + content[36:], "64 bits"),
        (content[:24] + b"\0\0\0\0" + content[28:], "at 0 Hz"),
    ):
        path.write_bytes(bad)
        with pytest.raises(SpecError, match=words) as caught:
            read_sound(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    # What is cut off in its samples has a sound up to there.
    path.write_bytes(content[:-3])
    assert np.array_equal(read_sound(path)[0], WAVE[:, :4])
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        read_sound(tmp_path)


def test_damaged_files_are_sounds_or_one_line(tmp_path: Path) -> None:
    content = bytearray(written(tmp_path / "x.wav", 2).read_bytes())
    random = np.random.default_rng(0)
    path = tmp_path / "y.wav"
    for _ in range(300):
        damaged = bytearray(content)
        for at in random.integers(0, 48, 3):
            damaged[at] = int(random.integers(0, 256))
        path.write_bytes(bytes(damaged))
        try:
            sound, rate_hz = read_sound(path)
        except SpecError:
            continue
        assert sound.size
        assert rate_hz > 0


def test_a_tone_keeps_its_place_and_size_at_another_rate() -> None:
    for rate_hz, wanted_hz in ((48000, 8000), (44100, 16000), (8000, 16000), (22050, 48000)):
        times, wanted = np.arange(rate_hz) / rate_hz, np.arange(wanted_hz) / wanted_hz
        low, high = 0.3 * min(rate_hz, wanted_hz), 0.45 * rate_hz
        tone = np.sin(2 * np.pi * low * times)
        if high > wanted_hz / 2:
            tone = tone + np.sin(2 * np.pi * high * times)
        found = resampled(tone[None], rate_hz, wanted_hz)[0]
        assert found.shape == wanted.shape
        inner = slice(wanted_hz // 10, -wanted_hz // 10)
        assert np.abs(found - np.sin(2 * np.pi * low * wanted))[inner].max() < 2e-3


def test_sounds_are_cut_padded_mixed_and_normalised_as_declared() -> None:
    def of(sound: np.ndarray, **declared: object) -> list[list[float]]:
        spec = parse(AudioPreprocessing, {"sampling_rate_hz": 8000, **declared}, "audio")
        return prepare(sound, 8000, spec).tolist()

    assert of(WAVE, samples=2) == [[-0.25, -0.125]]
    assert of(WAVE, samples=2, cut="end", mix="first") == [[0.25, 0.75]]
    assert of(WAVE[:1], samples=3, cut="middle", full_scale=8.0) == [[-4, 0, 2]]
    assert of(WAVE[:1, :1], samples=3, pad="both", channels=2) == [[0, -1, 0], [0, -1, 0]]
    assert of(WAVE[1:, :2], samples=3, pad="start", normalise="peak") == [[0, 1, 0.5]]
    assert of(WAVE[:1, :2], samples=2, normalise="standard") == [[-1, 1]]
    assert of(WAVE[:1, 1:2], samples=1, normalise="rms", full_scale=0.1) == [[-0.1]]
    assert of(np.zeros((1, 2)), samples=2, normalise="standard") == [[0, 0]]
    with pytest.raises(SpecError, match="has 3 channels, and the network takes 2"):
        of(np.zeros((3, 2)), samples=2, channels=2)


def test_what_is_drawn_is_read_again_and_fits_any_declaration(tmp_path: Path) -> None:
    for rate_hz, samples in ((16000, 16000), (100, 1), (8000, 7), (44100, 12345), (96000, 96000)):
        declared = AudioPreprocessing(sampling_rate_hz=rate_hz, samples=samples)
        for sound in drawn(declared):
            write_sound(sound, tmp_path / "x.wav")
            found, found_hz = read_sound(tmp_path / "x.wav")
            assert found_hz == sound.rate_hz
            assert np.array_equal(found * 32768, sound.frames.T)
            assert prepare(found, found_hz, declared).shape == (1, samples)
