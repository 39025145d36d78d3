"""The agent's LiteRT runner: what it gives, what it says, under either of the two packages."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="TFLite needs ai-edge-litert")

from tflite_files import FileBuilder, float_edges, int8_edges

OLD_PYTHON = "EDGECOMPRESS_TFLITE_RUNTIME_PYTHON"
"""Names an interpreter, Python 3.8 to 3.11, with tflite-runtime 2.14 and numpy<2."""
INFER = {"runtime": "litert", "threads": 1, "batch": 1, "kernels": "default"}
MEASURE = {
    "runtime": "litert",
    "threads": 1,
    "warmup_iterations": 2,
    "min_iterations": 5,
    "min_duration_s": 0.001,
}


def classifier(path: Path) -> np.ndarray:
    """int8 'x' [1, 8] to int8 'scores' [1, 4]; returns the weight [4, 8]."""
    b = FileBuilder()
    b.tensor("x", (1, 8), "int8", 0.0625, -1)
    b.linear("x", "fc", 8, 4)
    b.save(path, {"x": "x"}, {"fc": "scores"})
    return np.random.default_rng(0).integers(-100, 101, (4, 8))


def expected(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The same in integers: steps of 0.0625 and 0.01 in, 0.5 out, zero points -1 and 3."""
    total = (x.astype(int) + 1) @ weight.T
    return np.clip(np.rint(total * (0.0625 * 0.01 / 0.5)) + 3, -128, 127)


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def fields(folder: Path, model: Path, **arrays: np.ndarray) -> dict[str, str]:
    inputs = npz(folder / "inputs.npz", **arrays)
    return {"model": str(model), "inputs": str(inputs), "outputs": str(folder / "outputs.npz")}


@pytest.mark.parametrize("kernels", ["default", "reference"])
def test_infer_gives_raw_integers_by_the_signatures_names(ask, tmp_path, kernels):
    weight = classifier(tmp_path / "m.tflite")
    x = np.random.default_rng(1).integers(-128, 128, (5, 8)).astype(np.int8)
    request = {**INFER, **fields(tmp_path, tmp_path / "m.tflite", x=x), "kernels": kernels}

    assert ask("infer", **request).result["samples"] == 5

    with np.load(tmp_path / "outputs.npz") as found:
        scores = found["scores"]
    assert scores.dtype == np.int8
    # One step apart where a tie is rounded otherwise.
    assert np.abs(scores - expected(x, weight)).max() <= 1
    assert (scores == expected(x, weight)).mean() > 0.9


def test_infer_fills_a_free_batch(ask, tmp_path):
    b = FileBuilder()
    b.tensor("x", (-1, 4), "float32")
    b.op("RELU", ["x"], [b.tensor("y", (-1, 4), "float32")])
    model = b.save(tmp_path / "m.tflite", {"x": "x"}, {"y": "y"})
    x = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)

    request = {**INFER, "batch": 3, **fields(tmp_path, model, x=x)}
    assert ask("infer", **request).result["samples"] == 7

    with np.load(tmp_path / "outputs.npz") as found:
        np.testing.assert_array_equal(found["y"], np.maximum(x, 0))


def test_outputs_come_in_the_files_order(ask, tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 4), "float32")
    b.op("RELU", ["x"], [b.tensor("z", (1, 4), "float32")])
    b.op("NEG", ["x"], [b.tensor("a", (1, 4), "float32")])
    model = b.save(tmp_path / "m.tflite", {"x": "x"}, {"z": "relu", "a": "minus"})
    x = np.ones((2, 4), np.float32)

    assert ask("infer", **{**INFER, **fields(tmp_path, model, x=x)}).result["samples"] == 2

    with np.load(tmp_path / "outputs.npz") as found:
        assert found.files == ["relu", "minus"]
        np.testing.assert_array_equal(found["minus"], -x)


def test_measure_times_and_names_the_runtime(ask, tmp_path):
    model = float_edges(tmp_path / "m.tflite")
    request = fields(tmp_path, model, image=np.zeros((1, 6, 6, 3), np.float32))

    turn = ask("measure", **{**MEASURE, **request}).result

    assert len(turn["latency_ms"]) >= 5
    assert min(turn["latency_ms"]) > 0
    assert set(turn["versions"]) == {"ai-edge-litert", "numpy", "python"}
    assert turn["notes"] == []


def test_a_file_that_xnnpack_does_not_touch_is_noted(ask, tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 4), "int8")
    b.op("ABS", ["x"], [b.tensor("y", (1, 4), "int8")])
    model = b.save(tmp_path / "m.tflite", {"x": "x"}, {"y": "y"})
    request = fields(tmp_path, model, x=np.zeros((1, 4), np.int8))

    (note,) = ask("measure", **{**MEASURE, **request}).result["notes"]

    assert "XNNPACK runs no operator of the model" in note


@pytest.mark.parametrize(
    ("content", "kind"), [(b"", "input"), (b"no TFLite at all", "input"), (None, "input")]
)
def test_unreadable_files_are_one_line(ask, tmp_path, content, kind):
    model = tmp_path / "m.tflite"
    if content is not None:
        model.write_bytes(content)
    request = fields(tmp_path, model, x=np.zeros((1, 4), np.float32))

    found, message = ask("infer", **{**INFER, **request}).error

    assert found == kind
    assert "\n" not in message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 6, 6, 3), "float32"), "input 'image' takes int8, got float32"),
        (np.zeros((1, 3, 6, 6), "int8"), "input 'image' takes shape [1, 6, 6, 3]"),
    ],
)
def test_arrays_that_do_not_fit(ask, tmp_path, array, message):
    request = fields(tmp_path, int8_edges(tmp_path / "m.tflite"), image=array)

    kind, said = ask("infer", **{**INFER, **request}).error

    assert kind == "input"
    assert said.startswith(message)


def test_optimise_says_that_there_is_nothing_to_optimise(ask, tmp_path):
    model = int8_edges(tmp_path / "m.tflite")

    kind, message = ask("optimise", runtime="litert", model=str(model), output="x").error

    assert kind == "input"
    assert message == "LiteRT runs a TFLite file as it is: inspect the file itself"


def test_without_a_runtime_the_answer_names_the_packages(ask, tmp_path):
    hide = tmp_path / "hide"
    for package in ("ai_edge_litert", "tflite_runtime"):
        (hide / package).mkdir(parents=True)
        (hide / package / "__init__.py").write_text("raise ImportError('hidden')")
    model = int8_edges(tmp_path / "m.tflite")
    request = fields(tmp_path, model, image=np.zeros((1, 6, 6, 3), np.int8))

    kind, message = ask("infer", env={"PYTHONPATH": str(hide)}, **{**INFER, **request}).error

    assert kind == "missing"
    assert message.endswith("-m pip install numpy ai-edge-litert")


@pytest.mark.skipif(OLD_PYTHON not in os.environ, reason=f"{OLD_PYTHON} names no interpreter")
def test_tflite_runtime_runs_the_same_file(pyz, tmp_path):
    weight = classifier(tmp_path / "m.tflite")
    x = np.random.default_rng(1).integers(-128, 128, (5, 8)).astype(np.int8)
    request = {"schema_version": 1, "command": "infer", **INFER}
    request |= fields(tmp_path, tmp_path / "m.tflite", x=x)

    done = subprocess.run(
        [os.environ[OLD_PYTHON], pyz],
        input=json.dumps(request).encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert json.loads(done.stdout)["ok"], done.stdout
    with np.load(tmp_path / "outputs.npz") as found:
        assert np.abs(found["scores"] - expected(x, weight)).max() <= 1
