"""The examples for applications prepare pictures as their files declare, by the files alone."""

import importlib
import json
import os
import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs Pillow: pip install '.[images]'")

from declared_files import DECLARED, EXACT, LABELS, RULES, DeclaredFiles, PictureFiles
from tensorrt_recording import VERSIONS, environment

from edgecompress.contract.levels import levels_of
from edgecompress.contract.picture import drawn, write_png
from edgecompress.contract.prepare import prepare
from edgecompress.measure.tensors import feed
from edgecompress.pipeline.contract import check_app, run_on
from edgecompress.pipeline.formats import describe_file
from edgecompress.progress import SilentProgress
from edgecompress.spec.preprocessing import AudioPreprocessing, ImagePreprocessing

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = {
    "run_onnxruntime": "local-onnxruntime",
    "run_openvino": "local-onnxruntime",
    "run_litert": "local-litert",
    "run_executorch": "local-executorch",
}
NEEDS = {
    "run_onnxruntime": "onnxruntime",
    "run_openvino": "openvino",
    "run_litert": "ai_edge_litert",
    "run_executorch": "executorch",
}


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"needs {NEEDS[name]}: pip install '.[dev]'")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(name)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
def test_pictures_are_prepared_as_the_reference_has_it(
    interpolation: str, antialias: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = example("picture", monkeypatch)
    path = tmp_path / "picture.png"
    # One that gets smaller and one that gets larger, both lying and standing.
    small = drawn(ImagePreprocessing(size=(9, 6)))
    for number, (rule, size) in enumerate(product(RULES, ((24, 32), (40, 20)))):
        colours = ("rgb", "bgr", "gray")[number % 3]
        count = 1 if colours == "gray" else 3
        declared = ImagePreprocessing.model_validate(
            {
                "size": size,
                "colours": colours,
                "interpolation": interpolation,
                "antialias": antialias,
                "mean": (0.4, 0.5, 0.6)[:count],
                "std": (0.2, 0.25, 0.3)[:count],
                **rule,
            }
        )
        told = json.loads(declared.model_dump_json())
        for given in (drawn(declared), small):
            write_png(given, path)
            wanted, found = prepare(given, declared), picture.prepared(path, told)
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            gaps = np.abs(found - wanted) * np.reshape(declared.std, (-1, 1, 1)) * 255
            assert gaps.mean() <= EXACT, declared
            levels = picture.prepared(path, {**told, "normalised_in": "file"})
            assert levels.dtype == np.uint8
            assert np.abs(levels - levels_of(wanted, declared).astype(float)).mean() <= EXACT


@pytest.mark.parametrize("name", FILES)
def test_each_runs_a_picture_by_what_its_file_says(
    name: str,
    declared_files: DeclaredFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = declared_files(FILES[name]).path
    run = example(name, monkeypatch)
    path, tensor = tmp_path / "picture.png", tmp_path / "given.npy"
    write_png(drawn(DECLARED), path)
    run.main(str(file), str(path), str(tensor))
    shown = capsys.readouterr().out.splitlines()
    check(file, tensor)
    scores = run_on(file, path, SilentProgress()).outputs["y"][0]
    best = scores.argsort()[::-1][:5]
    assert [line.split(maxsplit=2)[2] for line in shown] == [LABELS[index] for index in best]
    told = [float(line.split()[1]) for line in shown]
    assert np.allclose(told, scores[best], atol=1e-3)


def check(file: Path, tensor: Path) -> None:
    """What an example wrote is right, and closer than other libraries may be."""
    app = shlex.join(["sh", "-c", f'cp {shlex.quote(str(tensor))} "$2"', "sh"])
    found = check_app(file, app, None, SilentProgress())
    assert found is not None
    assert found.is_right, found.told
    assert found.levels is not None
    assert found.levels <= EXACT


@pytest.mark.parametrize(
    ("dtype", "layout"), [("int8", "nhwc"), ("uint8", "nhwc"), ("float32", "nchw")]
)
def test_litert_is_given_what_its_file_takes(
    dtype: str, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = example("run_litert", monkeypatch)
    # Levels: the example gives them as they are, whatever is made of them inside.
    where = "file" if dtype == "uint8" else "application"
    declared = DECLARED.model_copy(update={"normalised_in": where})
    file = PictureFiles(tmp_path).tflite(declared, dtype, layout)
    path, tensor = tmp_path / "picture.png", tmp_path / "given.npy"
    write_png(drawn(declared), path)
    run.main(str(file), str(path), str(tensor))
    given = np.load(tensor)
    wanted = feed(describe_file(file), [prepare(drawn(declared), declared)])["x"]
    assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
    assert np.abs(given.astype(float) - wanted).mean() <= EXACT


def test_an_engine_is_run_by_what_its_onnx_file_says(tmp_path: Path) -> None:
    """On recordings of TensorRT and CUDA: no GPU computes anything."""
    file = PictureFiles(tmp_path)(ImagePreprocessing(size=(24, 32), resize="crop", shorter=40))
    engine, path, tensor = (tmp_path / name for name in ("m.engine", "picture.png", "given.npy"))
    head = json.dumps({"version": VERSIONS[1], "shapes": {}}).encode()
    engine.write_bytes(b"RECORDING OF TENSORRT " + head + b"\n" + file.read_bytes())
    write_png(drawn(DECLARED), path)
    command = [sys.executable, EXAMPLES / "run_tensorrt.py", engine, file, path, tensor]
    env = {**os.environ, **environment(tmp_path / "calls.log", VERSIONS[1])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    scores = run_on(file, path, SilentProgress()).outputs["y"][0]
    found = dict(reversed(line.split()[1:]) for line in done.stdout.splitlines())
    names = ("red", "green", "blue")
    assert np.allclose([float(found[name]) for name in names], scores, atol=1e-3)


def test_an_example_is_an_application_for_check_contract(tmp_path: Path) -> None:
    file = PictureFiles(tmp_path)(ImagePreprocessing(size=(24, 32), resize="crop", shorter=40))
    command = [sys.executable, str(EXAMPLES / "run_onnxruntime.py"), str(file)]
    found = check_app(file, shlex.join(command), None, SilentProgress())
    assert found is not None
    assert found.is_right, found.told
    assert found.levels is not None
    assert found.levels <= EXACT


def test_a_file_that_does_not_say_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = example("run_onnxruntime", monkeypatch)
    made, path = PictureFiles(tmp_path), tmp_path / "picture.png"
    write_png(drawn(DECLARED), path)
    with pytest.raises(SystemExit, match="does not say how its input is prepared"):
        run.main(str(made(None)), str(path))
    sound = AudioPreprocessing(sampling_rate_hz=16000, samples=192)
    with pytest.raises(SystemExit, match="takes audio, and this is an example for pictures"):
        run.main(str(made(sound)), str(path))
