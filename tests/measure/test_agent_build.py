"""The host's side of engines, against recordings of TensorRT and CUDA (tests/agent/recording)."""

import numpy as np
import onnx_files
import pytest
from tensorrt_recording import environment

from edgecompress.errors import ArtifactError, RuntimeMissing
from edgecompress.measure.agent import Inference
from edgecompress.measure.loaded import Loaded, Preparation
from edgecompress.spec.engine import EngineFlags

FLAGS = EngineFlags(fp16=False, sparse_weights=True, strongly_typed=True, workspace_bytes=1 << 28)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    onnx_files.linear(path, features=8, classes=3)
    return onnx_files.artifact(path)


@pytest.fixture
def recording(tmp_path, monkeypatch):
    for name, value in environment(tmp_path / "calls.log", "10.3.0").items():
        monkeypatch.setenv(name, value)


def test_an_engine_is_built_measured_and_evaluated_where_it_lies(
    recording, agent, transport, model, protocol, tmp_path
):
    loaded = agent.prepare(model, Preparation("tensorrt", FLAGS))
    engine = loaded.engine
    assert loaded == Loaded(model, "tensorrt", engine)
    assert loaded.name == engine.engine
    assert engine.engine.startswith(transport.cachedir)
    assert (engine.gpu, engine.built_with, engine.reused) == ("recording", "10.3.0", False)
    assert agent.build(model, FLAGS).reused is True

    np.savez(tmp_path / "x.npz", x=np.ones((1, 8), "float32"))
    turn = agent.measure(loaded, 1, tmp_path / "x.npz", protocol)
    assert turn.latency_ms_without_copies is not None
    assert len(turn.latency_ms_without_copies) == len(turn.latency_ms)
    assert turn.versions["tensorrt"] == "10.3.0"

    # Four samples through an engine made for one.
    np.savez(tmp_path / "x.npz", x=np.ones((4, 8), "float32"))
    agent.infer(loaded, Inference(tmp_path / "x.npz", tmp_path / "y.npz"))
    with np.load(tmp_path / "y.npz") as outputs:
        assert outputs["scores"].shape == (4, 3)


def test_what_has_no_flags_is_run_as_it_is(agent, transport, model):
    assert agent.prepare(model, Preparation("tensorrt")) == Loaded(model, "tensorrt")
    assert transport.sent == []


def test_only_the_batch_may_be_free(agent, tmp_path):
    path = tmp_path / "model.onnx"
    onnx_files.linear(path, features=8, classes=3)
    made = onnx_files.artifact(path)
    free = made.inputs[0].model_copy(update={"shape": ("batch", "width")})
    with pytest.raises(ArtifactError, match=r"input 'x' has the shape \['batch', 'width'\]"):
        agent.build(made.model_copy(update={"inputs": (free,)}), FLAGS)


def test_a_cpu_has_no_copies_to_leave_out(agent, model, protocol, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((1, 8), "float32"))
    turn = agent.measure(Loaded(model, "onnxruntime"), 1, tmp_path / "x.npz", protocol)
    assert turn.latency_ms_without_copies is None


def test_without_tensorrt_one_line_says_what_is_missing(agent, model, tmp_path, monkeypatch):
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10 is not there')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        RuntimeMissing, match=r"libnvinfer\.so\.10 is not there, and no trtexec.*JetPack"
    ) as caught:
        agent.build(model, FLAGS)
    assert "\n" not in str(caught.value)
