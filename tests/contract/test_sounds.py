"""Mistakes that are planted in an application, a process of its own, are found by the sounds that
it is given.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx_models import GraphBuilder

from edgecompress.errors import ArtifactError, SpecError
from edgecompress.formats.metadata import PREPROCESSING_KEY
from edgecompress.measure.tensors import read_npz
from edgecompress.pipeline.contract import check_app, run_on
from edgecompress.progress import SilentProgress
from edgecompress.spec.base import parse
from edgecompress.spec.preprocessing import AudioPreprocessing

SAMPLES = 2000
DECLARED = AudioPreprocessing(sampling_rate_hz=8000, samples=SAMPLES)
APP = """
import sys
import wave
import numpy as np

RATE, SAMPLES = 8000, 2000

def fitted(x, rate):
    # The whole sound's spectrum, cut off or filled up; with silence, to whole seconds.
    long = -(-len(x) * RATE // rate)
    x = np.pad(x, (0, -len(x) % rate))
    count = len(x) * RATE // rate
    spectrum = np.zeros(count // 2 + 1, complex)
    known = np.fft.rfft(x)[: len(spectrum)]
    spectrum[: len(known)] = known
    return np.fft.irfft(spectrum, count)[:long] * count / len(x)

sound, goal = sys.argv[-2:]
with wave.open(sound) as file:
    rate, channels = file.getframerate(), file.getnchannels()
    content = file.readframes(file.getnframes())
levels = np.frombuffer(content, "<i2").reshape(-1, channels)
x = levels.mean(axis=1) / 32768
if rate != RATE:
    x = fitted(x, rate)
x = x[:SAMPLES]
x = np.pad(x, (0, SAMPLES - len(x)))
np.save(goal, x[None].astype(np.float32))
"""
PLANTED = {
    "whatever their rate": ("if rate != RATE:", "if False:"),
    "taken to be of 44100 Hz": ("if rate != RATE:", "rate = 44100\nif True:"),
    "brought to 16000 Hz, not to 8000 Hz": (
        "RATE, SAMPLES = 8000",
        "RATE, SAMPLES = 16000",
    ),
    "with no filter before": ("x = fitted(x, rate)", "x = x[:: rate // RATE]"),
    "levels of 16 bits are left as they are": (" / 32768", ""),
    "divided by 255": (" / 32768", " / 255"),
    "divided by 32768 twice": (" / 32768", " / 32768 / 32768"),
    "not averaged": ("levels.mean(axis=1)", "levels.sum(axis=1)"),
    "divided by its largest absolute value": (
        "x = np.pad(x, (0, S",
        "x = x / np.abs(x).max()\nx = np.pad(x, (0, S",
    ),
    "mean 0 and standard deviation 1": (
        "x = np.pad(x, (0, S",
        "x = (x - x.mean()) / x.std()\nx = np.pad(x, (0, S",
    ),
    "the left one alone": ("levels.mean(axis=1)", "levels[:, 0]"),
    "the right one alone": ("levels.mean(axis=1)", "levels[:, 1]"),
    "one after the other": ("levels.mean(axis=1)", "levels.ravel()"),
    "little-endian": ('"<i2"', '">i2"'),
    "have no sign": ('"<i2"', '"<u2"'),
    "header of the WAV file": ("content = ", "content = open(sound, 'rb').read(); "),
    "cut to its last samples, not to its first": ("x = x[:SAMPLES]", "x = x[-SAMPLES:]"),
    "cut to its middle": (
        "x = x[:SAMPLES]",
        "n = max(len(x) - SAMPLES, 0) // 2; x = x[n:n+2000]",
    ),
    "zeros come before it": ("(0, SAMPLES - len(x))", "(SAMPLES - len(x), 0)"),
    "a shorter sound is repeated": ("np.pad(x, (0, SAMPLES - len(x)))", "np.resize(x, SAMPLES)"),
    "7 samples too late": ("x[None]", "np.roll(x, 7)[None]"),
    "its shape is [2000], and the file takes [1, 2000]": ("x[None]", "x"),
}


def made(folder: Path, declared: AudioPreprocessing = DECLARED, rank: int = 2) -> Path:
    g = GraphBuilder()
    shape = (1, SAMPLES) if rank == 2 else (1, declared.channels, SAMPLES)
    g.input("x", shape)
    g.node("Abs", ["x"], "y")
    g.output("y", shape)
    metadata = {PREPROCESSING_KEY: declared.model_dump_json()}
    return g.save(folder / "model.onnx", metadata=metadata)


def command(folder: Path, text: str) -> str:
    path = folder / "app.py"
    path.write_text(text)
    return f"{sys.executable} '{path}'"


def test_an_application_with_another_filter_is_right(tmp_path: Path) -> None:
    found = check_app(made(tmp_path), command(tmp_path, APP), None, SilentProgress())
    assert found is not None
    assert (found.is_right, found.told) == (True, "as declared")
    nearly = command(tmp_path, APP.replace("32768", "32767"))
    found = check_app(tmp_path / "model.onnx", nearly, None, SilentProgress())
    assert found is not None
    assert found.is_right
    assert "32767 in place of 32768" in found.told


@pytest.mark.parametrize("words", PLANTED)
def test_a_planted_mistake_is_found_in_a_process(tmp_path: Path, words: str) -> None:
    right, wrong = PLANTED[words]
    assert APP.count(right) == 1
    app = command(tmp_path, APP.replace(right, wrong))
    found = check_app(made(tmp_path), app, None, SilentProgress())
    assert found is not None
    assert not found.is_right
    assert words in found.told
    assert len(found.mistakes) <= 1


def test_two_mistakes_at_once_are_both_named(tmp_path: Path) -> None:
    text = APP.replace(" / 32768", "").replace("levels.mean(axis=1)", "levels[:, 0]")
    found = check_app(made(tmp_path), command(tmp_path, text), None, SilentProgress())
    assert found is not None
    assert len(found.mistakes) == 2
    assert "the left one alone" in found.mistakes[0]
    assert "levels of 16 bits" in found.mistakes[1]


def test_what_no_mistake_explains_is_told_with_its_size(tmp_path: Path) -> None:
    text = APP.replace("x[None]", "(x * np.linspace(1, 5, SAMPLES))[None]")
    found = check_app(made(tmp_path), command(tmp_path, text), None, SilentProgress())
    assert found is not None
    assert found.mistakes == ()
    assert "no usual mistake" in found.told
    assert found.share is not None


TWO = AudioPreprocessing(
    sampling_rate_hz=8000, samples=SAMPLES, channels=2, normalise="rms", full_scale=0.1, pad="both"
)
STEREO = (
    APP.replace("x = levels.mean(axis=1) / 32768", "x = levels * 1.0")
    .replace("x = fitted(x, rate)", "x = np.stack([fitted(part, rate) for part in x.T], axis=1)")
    .replace("x = np.pad(x, (0, SAMPLES - len(x)))", "x = x / np.sqrt((x * x).mean()) / 10\nPAD")
    .replace("PAD", "n = (SAMPLES - len(x)) // 2; x = np.pad(x, ((n, n), (0, 0)))")
    .replace("x[None]", "x.T[None]")
)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("", "", "as declared"),
        ("levels * 1.0", "levels[:, ::-1] * 1.0", "left and right are swapped"),
        ("x.T[None]", "x.reshape(1, 2, SAMPLES)", "left and right by turns"),
        (" / np.sqrt((x * x).mean())", " / 3276.8", "divided by the full scale"),
        (" / np.sqrt((x * x).mean()) / 10", "", "divided by the full scale"),
        ("((n, n), (0, 0))", "((0, 2 * n), (0, 0))", "zeros come after it, not on both sides"),
    ],
)
def test_two_channels_are_held_to_what_is_declared(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    app = command(tmp_path, STEREO.replace(right, wrong) if right else STEREO)
    found = check_app(made(tmp_path, TWO, rank=3), app, None, SilentProgress())
    assert found is not None
    assert found.is_right == (words == "as declared")
    assert words in found.told


def test_vectors_are_what_the_file_makes_of_the_sounds(tmp_path: Path) -> None:
    file, folder = made(tmp_path), tmp_path / "vectors"
    assert check_app(file, None, folder, SilentProgress()) is None
    for name in ("longer", "shorter"):
        given = read_npz(folder / f"{name}-input.npz")["x"]
        assert given.shape == (1, SAMPLES)
        outputs = read_npz(folder / f"{name}-outputs.npz")["y"]
        assert np.array_equal(outputs, np.abs(given))
        ran = run_on(file, folder / f"{name}.wav", SilentProgress())
        assert ran.noun == "sound"
        assert np.array_equal(ran.outputs["y"], outputs)
    told = json.loads((folder / "preprocessing.json").read_text())
    assert parse(AudioPreprocessing, told, "vectors") == DECLARED


def test_a_file_that_takes_something_else_is_refused(tmp_path: Path) -> None:
    other = DECLARED.model_copy(update={"samples": 1999})
    with pytest.raises(ArtifactError, match=r"declares an input of \[1, 1999\], and takes"):
        run_on(made(tmp_path, other), tmp_path / "x.wav", SilentProgress())
    with pytest.raises(SpecError, match="no such file"):
        run_on(made(tmp_path), tmp_path / "x.wav", SilentProgress())
