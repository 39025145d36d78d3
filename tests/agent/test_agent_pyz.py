"""The packed agent, run as a board runs it."""

import ast
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import onnx_files
import pytest
from onnx import helper

from edgecompress.artifact import sha256_of
from edgecompress.bundled import agent_dir
from edgecompress.runtimes import RUNTIMES
from edgecompress.runtimes import modules as runtime_modules

SOURCES = sorted(agent_dir().glob("*.py"))
NO_SITE_PACKAGES = ("-S",)
MEASURE = {
    "runtime": "onnxruntime",
    "threads": 1,
    "warmup_iterations": 3,
    "min_iterations": 5,
    "min_duration_s": 0.0,
}
INFER = {"runtime": "onnxruntime", "threads": 1, "batch": 1}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    onnx_files.linear(path, features=8, classes=3)
    return path


@pytest.fixture
def inputs(tmp_path):
    return save_npz(tmp_path / "inputs.npz", x=np.ones((1, 8), "float32"))


def save_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_sources_were_found():
    assert {"__main__.py", "runners.py", "state.py"} <= {file.name for file in SOURCES}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_source_is_python_3_8(file):
    ast.parse(file.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_imports_only_standard_library_numpy_and_runtime(file):
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module.split(".")[0])
    runtimes = {module.partition(".")[0] for module in runtime_modules().values()}
    # ExecuTorch's tensors are torch's, and nobody else in the agent has any.
    also = {"torch"} if file.name == "runner_executorch.py" else set()
    assert modules <= {*sys.stdlib_module_names, "numpy", *runtimes, *also}


def test_probe_needs_no_package(ask):
    result = ask("probe", NO_SITE_PACKAGES).result
    assert result["versions"] == {}
    assert result["cores"] >= 1


def test_probe_reports_versions(ask):
    versions = ask("probe").result["versions"]
    assert versions["numpy"] == np.__version__
    assert "onnxruntime" in versions


def test_missing_runtime_names_the_pip_command(ask, model, inputs):
    said = ask("measure", NO_SITE_PACKAGES, model=str(model), inputs=str(inputs), **MEASURE)
    kind, message = said.error
    assert kind == "missing"
    assert "-m pip install numpy onnxruntime" in message
    assert said.returncode == 1


def test_measure_keeps_every_sample_apart(ask, model, inputs):
    turn = ask("measure", model=str(model), inputs=str(inputs), **MEASURE).result
    assert len(turn["warmup_ms"]) == 3
    assert len(turn["latency_ms"]) == 5
    assert min(turn["latency_ms"] + turn["warmup_ms"]) > 0
    assert turn["init_time_ms"] > 0
    assert turn["first_inference_ms"] > 0
    assert turn["runtime_rss_bytes"] > 10_000_000
    assert set(turn["versions"]) == {"onnxruntime", "numpy", "python"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("0/x", "7/x"), "'7/x' is of none of 2 samples"),
        (("0/x", "x"), "'x' is of none of 2 samples"),
        (("0/x", "0/y"), "inputs given: x, y; the model takes: x"),
        (("1/x",), "inputs given: none; the model takes: x"),
    ],
)
def test_samples_that_are_not_as_many_as_told(ask, model, tmp_path, names, said):
    file = tmp_path / "feeds.npz"
    np.savez(file, **{name: np.ones((1, 8), "float32") for name in names})
    answer = ask("measure", model=str(model), inputs=str(file), samples=2, **MEASURE)
    assert answer.error[0] == "input"
    assert said in answer.error[1]


def test_measure_runs_for_the_minimum_duration(ask, model, inputs):
    protocol = {**MEASURE, "min_iterations": 1, "min_duration_s": 0.2}
    turn = ask("measure", model=str(model), inputs=str(inputs), **protocol).result
    assert len(turn["latency_ms"]) > 1
    # The time between two samples counts too, hence the margin.
    assert sum(turn["latency_ms"]) <= 200 + max(turn["latency_ms"])


def test_peak_rss_follows_the_weights(ask, tmp_path):
    peaks = {}
    for features in (8, 1024):
        path = tmp_path / f"{features}.onnx"
        onnx_files.linear(path, features, classes=8192)
        feed = save_npz(tmp_path / f"{features}.npz", x=np.ones((1, features), "float32"))
        turn = ask("measure", model=str(path), inputs=str(feed), **MEASURE).result
        peaks[features] = turn["peak_rss_bytes"]
    weight_bytes = 1024 * 8192 * 4
    assert peaks[8] < weight_bytes < peaks[1024]


def test_stdout_is_one_document_though_the_runtime_prints(ask, model, inputs, tmp_path):
    chatty = tmp_path / "chatty" / "onnxruntime.py"
    chatty.parent.mkdir()
    chatty.write_text(
        textwrap.dedent(
            """
            import ctypes, os, sys
            print("from print")
            os.write(1, b"from write\\n")
            ctypes.CDLL(None).puts(b"from puts")
            # Step aside for the real one.
            sys.path = [p for p in sys.path if p != os.path.dirname(__file__)]
            del sys.modules["onnxruntime"]
            import onnxruntime
            """
        )
    )
    env = {"PYTHONPATH": str(chatty.parent)}
    said = ask("measure", env=env, model=str(model), inputs=str(inputs), **MEASURE)
    assert len(said.result["latency_ms"]) == 5
    for words in ("from print", "from write", "from puts"):
        assert words in said.stderr


def break_empty(path: Path) -> None:
    path.write_bytes(b"")


def break_garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 20)


def break_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def break_absent(path: Path) -> None:
    path.unlink()


def break_operator(path: Path) -> None:
    model = onnx.load(path)
    model.graph.node[0].CopyFrom(helper.make_node("NoSuchOperator", ["x", "w"], ["scores"]))
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("command", ["measure", "infer", "optimise"])
@pytest.mark.parametrize(
    "damage", [break_empty, break_garbage, break_truncated, break_absent, break_operator]
)
def test_unreadable_model_is_one_line(ask, model, inputs, tmp_path, command, damage):
    damage(model)
    output = tmp_path / "output"
    fields = {**MEASURE, "batch": 1, "outputs": str(output), "output": str(output)}
    said = ask(command, model=str(model), inputs=str(inputs), **fields)
    kind, message = said.error
    assert kind in {"input", "runtime"}
    assert message
    assert "\n" not in message
    assert not output.exists()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"y": np.ones((1, 8), "float32")}, "inputs given: y; the model takes: x"),
        ({"x": np.ones((1, 8), "float64")}, "input 'x' takes float32, got float64"),
        ({"x": np.ones((1, 9), "float32")}, "input 'x' takes shape ['batch', 8], got [1, 9]"),
        ({"x": np.ones((1, 8, 1), "float32")}, "input 'x' takes shape ['batch', 8], got [1, 8, 1]"),
    ],
)
@pytest.mark.parametrize("command", ["measure", "infer"])
def test_wrong_input_says_what_is_known(ask, model, tmp_path, command, arrays, expected):
    feed = save_npz(tmp_path / "feed.npz", **arrays)
    fields = {**MEASURE, "batch": 1, "outputs": str(tmp_path / "outputs.npz")}
    said = ask(command, model=str(model), inputs=str(feed), **fields)
    assert said.error == ("input", expected)


@pytest.mark.parametrize(("batch", "chunk"), [("batch", 1), ("batch", 4), (1, 1), (4, 1)])
def test_infer_cuts_and_fills_batches(ask, tmp_path, batch, chunk):
    model, outputs = tmp_path / "model.onnx", tmp_path / "outputs.npz"
    weight = onnx_files.linear(model, features=8, classes=3, batch=batch)
    x = np.random.default_rng(0).standard_normal((10, 8)).astype("float32")
    feed = save_npz(tmp_path / "feed.npz", x=x)
    fields = {**INFER, "batch": chunk, "outputs": str(outputs)}
    said = ask("infer", model=str(model), inputs=str(feed), **fields)
    assert said.result == {"samples": 10, "model_sha256": sha256_of(model)}
    with np.load(outputs) as found:
        np.testing.assert_allclose(found["scores"], x @ weight, rtol=1e-5, atol=1e-5)


def test_infer_refuses_an_output_without_batch(ask, tmp_path):
    model = tmp_path / "model.onnx"
    onnx_files.save(
        model,
        [helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0)],
        [onnx_files.value("x", onnx_files.FLOAT, ["batch", 8])],
        [onnx_files.value("total", onnx_files.FLOAT, [])],
        {},
    )
    feed = save_npz(tmp_path / "feed.npz", x=np.ones((3, 8), "float32"))
    fields = {**INFER, "outputs": str(tmp_path / "outputs.npz")}
    kind, message = ask("infer", model=str(model), inputs=str(feed), **fields).error
    assert kind == "input"
    assert "output 'total' has shape [] for 1 samples" in message


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_unreadable_inputs_are_one_line(ask, model, tmp_path, content):
    feed = tmp_path / "feed.npz"
    feed.write_bytes(content)
    kind, message = ask("measure", model=str(model), inputs=str(feed), **MEASURE).error
    assert kind == "input"
    assert str(feed) in message


def test_optimise_writes_the_fused_graph(ask, tmp_path):
    model, output = tmp_path / "model.onnx", tmp_path / "optimised.onnx"
    onnx_files.constant(model, 1.0, features=8, classes=3)
    result = ask("optimise", model=str(model), runtime="onnxruntime", output=str(output)).result
    assert result["runtime"].startswith("onnxruntime ")
    ops = [node.op_type for node in onnx.load(output).graph.node]
    assert len(ops) == 1, ops


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        (b"", "the request is not JSON"),
        (b"[1]", "the request is not a JSON object"),
        (b'{"schema_version": 2}', "schema_version is 2; this agent speaks 1"),
        (
            b'{"schema_version": 1, "command": "dance"}',
            "command 'dance' is unknown; known: build, check, infer, measure, optimise,"
            " probe, profile, sweep, together, usage",
        ),
        (b'{"schema_version": 1}', "command must be a text that is not empty, got None"),
        (
            b'{"schema_version": 1, "command": "measure", "threads": 0}',
            "threads must be an integer of at least 1, got 0",
        ),
        (
            b'{"schema_version": 1, "command": "optimise", "runtime": "gguf", "model": "m"}',
            f"runtime 'gguf' is unknown; known: {', '.join(sorted(RUNTIMES))}",
        ),
    ],
)
def test_wrong_request_says_what_is_known(ask_raw, stdin, expected):
    kind, message = ask_raw(stdin).error
    assert kind == "input"
    assert message.startswith(expected)
