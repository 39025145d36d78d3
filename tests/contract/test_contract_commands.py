"""`run` and `check-contract` on a real file, with applications in processes of their own."""

import json
import sys
from pathlib import Path

import deploying
import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs Pillow: pip install '.[images]'")

from onnx_models import GraphBuilder
from PIL import Image

from edgecompress.contract.picture import drawn
from edgecompress.contract.prepare import prepare
from edgecompress.formats.metadata import LABELS_KEY, PREPROCESSING_KEY
from edgecompress.formats.onnx.file import describe
from edgecompress.measure.tensors import read_npz
from edgecompress.spec.preprocessing import ImagePreprocessing

DECLARED = ImagePreprocessing(size=(24, 32), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
APP = """
import sys
import numpy as np
from PIL import Image

picture, goal = sys.argv[-2:]
levels = np.asarray(Image.open(picture).resize((32, 24), Image.Resampling.BILINEAR), np.float32)
values = (levels / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3]
np.save(goal, values.transpose(2, 0, 1)[None].astype(np.float32))
"""
BAD = {
    "raise SystemExit('no camera')": "ended with exit code 1: no camera",
    "": "wrote no input.npy",
    "import sys; open(sys.argv[-1], 'w').write('hello')": "no readable .npy file",
    "import sys, numpy; numpy.save(sys.argv[-1], numpy.array([{}]))": "no readable .npy file",
    "import sys; open(sys.argv[-1], 'wb').truncate(1 << 30)": "wrote 1,073,741,824 bytes",
}


def made(folder: Path, declared: ImagePreprocessing | None = DECLARED) -> Path:
    g = GraphBuilder()
    g.input("x", (1, 3, 24, 32))
    g.node("GlobalAveragePool", ["x"], "p")
    g.node("Flatten", ["p"], "y")
    g.output("y", (1, 3))
    metadata = {LABELS_KEY: json.dumps(["red", "green", "blue"])}
    if declared is not None:
        metadata[PREPROCESSING_KEY] = declared.model_dump_json()
    return g.save(folder / "model.onnx", metadata=metadata)


def app(folder: Path, text: str) -> str:
    path = folder / "my app.py"
    path.write_text(text)
    return f"{sys.executable} '{path}'"


def test_an_application_is_told_right_or_where_it_departs(
    tmp_path: Path, cli: deploying.Cli
) -> None:
    made(tmp_path)
    command = ("check-contract", "model.onnx", "--json", "--app")
    done = cli.run(tmp_path, *command, app(tmp_path, APP))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["is_right"] is True

    wrong = APP.replace("levels / 255", "levels[:, :, ::-1] / 255")
    done = cli.run(tmp_path, *command, app(tmp_path, wrong))
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert found["mistakes"] == ["colours are in the order of bgr, not rgb"]
    assert "departs: colours are in the order of bgr, not rgb" in done.stderr


@pytest.mark.parametrize("text", BAD)
def test_an_application_that_does_not_answer_is_one_line(
    tmp_path: Path, cli: deploying.Cli, text: str
) -> None:
    made(tmp_path)
    done = cli.run(tmp_path, "check-contract", "model.onnx", "--app", app(tmp_path, text))
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert BAD[text] in line


def test_a_picture_is_run_by_what_the_file_says(tmp_path: Path, cli: deploying.Cli) -> None:
    made(tmp_path)
    picture = np.zeros((60, 50, 3), np.uint8)
    picture[:, :, 1] = 255
    Image.fromarray(picture).save(tmp_path / "green.png")
    done = cli.run(tmp_path, "run", "model.onnx", "green.png", "--json")
    assert done.returncode == 0, done.stderr
    wanted = (np.array([0, 1, 0]) - DECLARED.mean) / DECLARED.std
    assert np.allclose(json.loads(done.stdout)["outputs"]["y"], [wanted], atol=1e-5)
    shown = cli.run(tmp_path, "run", "model.onnx", "green.png").stdout
    assert shown.split().index("green") < shown.split().index("red")

    (tmp_path / "no.png").write_text("hello")
    (tmp_path / "wide").mkdir()
    made(tmp_path / "wide", DECLARED.model_copy(update={"size": (24, 33)}))
    (tmp_path / "other").mkdir()
    made(tmp_path / "other", None)
    for arguments, words in (
        (("model.onnx", "no.png"), "is no picture that can be read"),
        (("model.onnx", "none.png"), "no such file"),
        (
            ("wide/model.onnx", "green.png"),
            "declares an input of [3, 24, 33], and takes [3, 24, 32]",
        ),
        (("other/model.onnx", "green.png"), "does not say how its input is prepared"),
    ):
        done = cli.run(tmp_path, "run", *arguments)
        assert done.returncode == 2
        assert words in done.stderr


def test_vectors_are_what_the_file_makes_of_the_picture(tmp_path: Path, cli: deploying.Cli) -> None:
    file = made(tmp_path)
    assert describe(file).preprocessing == DECLARED
    done = cli.run(tmp_path, "check-contract", "model.onnx", "--vectors", "vectors")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "vectors"
    picture = np.asarray(Image.open(folder / "picture.png"))
    assert np.array_equal(picture, drawn(DECLARED))
    prepared = read_npz(folder / "input.npz")["x"]
    assert np.array_equal(prepared, prepare(picture, DECLARED))
    outputs = read_npz(folder / "outputs.npz")["y"]
    assert np.allclose(outputs, prepared.mean(axis=(2, 3)), atol=1e-5)
    told = (folder / "preprocessing.json").read_text()
    assert ImagePreprocessing.model_validate_json(told) == DECLARED


def test_a_declaration_that_is_none_is_named(tmp_path: Path, cli: deploying.Cli) -> None:
    g = GraphBuilder()
    g.input("x", (1, 3))
    g.node("Relu", ["x"], "y")
    g.output("y", (1, 3))
    g.save(tmp_path / "model.onnx", metadata={PREPROCESSING_KEY: '{"size": [8]}'})
    done = cli.run(tmp_path, "inspect", "model.onnx")
    assert done.returncode == 2
    assert "edgecompress.preprocessing" in done.stderr
