"""Android: the real adb server and client, the test-suite's adbd, and LiteRT behind its tool.

Accuracy must be that of LiteRT for the same file: what is under test is all that lies between.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="TFLite needs ai-edge-litert")
pytest.importorskip("adbutils", reason="transport adb needs adbutils")

import onnx_files
import torch
from android_phone.phone import BENCHMARK_MODEL, adb, adb_server, make_phone, phone
from tflite_files import FileBuilder, float_edges

from edgecompress.artifact import sha256_of
from edgecompress.errors import AgentError, ArtifactError, RuntimeMissing, SpecError
from edgecompress.formats.tflite.file import describe as describe_tflite
from edgecompress.measure.agent import Agent, Inference
from edgecompress.measure.compare import compare, measure_file
from edgecompress.measure.evaluate import Runs, evaluate
from edgecompress.measure.inputs import Inputs
from edgecompress.measure.loaded import Loaded, Preparation
from edgecompress.measure.turns import Session
from edgecompress.runtimes.litert.android import AndroidAgent
from edgecompress.spec.device import Device
from edgecompress.spec.engine import EngineFlags
from edgecompress.spec.protocol import Paced, Standard, Throughput
from edgecompress.task import ClassificationTask
from edgecompress.task.guard import guard
from edgecompress.transport import LocalTransport

__all__ = ["adb", "adb_server", "make_phone", "phone"]

PROTOCOL = Standard(warmup_iterations=2, min_iterations=30, min_duration_s=0.001, turns=2)
IN_SYSTEM = "/system/bin/benchmark_model"


@pytest.fixture
def tool(tmp_path):
    """A copy of the tool here, as a user downloads it."""
    file = tmp_path / "android_benchmark_model"
    file.write_text(f"#!{sys.executable}\n{BENCHMARK_MODEL.read_text()}")
    return file


@pytest.fixture
def make_agent(adb, tool):
    return lambda delegate="xnnpack": AndroidAgent(adb, str(tool), delegate)


@pytest.fixture
def images():
    return np.random.default_rng(3).standard_normal((5, 6, 6, 3), np.float32)


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def small(folder: Path, metadata: dict[str, bytes] | None = None) -> Loaded:
    return loaded(float_edges(folder / "m.tflite", metadata))


def loaded(path: Path) -> Loaded:
    return Loaded(describe_tflite(path), "litert")


def two_outputs(path: Path) -> Path:
    """int8 'x' [1, 8] to 'second' [1, 4] and 'first' [1, 2], told in one order, named in another"""
    b = FileBuilder()
    b.tensor("x", (1, 8), "int8", 0.0625, -1)
    b.linear("x", "a", 8, 4)
    b.linear("x", "b", 8, 2)
    return b.save(path, {"x": "x"}, {"a": "second", "b": "first"})


def here(tmp_path, model: Loaded, inputs: Path) -> dict[str, np.ndarray]:
    """What LiteRT gives on this machine, by the other agent."""
    agent = Agent(LocalTransport(tmp_path / "here"), sys.executable)
    agent.infer(model, Inference(inputs, tmp_path / "here.npz"))
    with np.load(tmp_path / "here.npz") as found:
        return dict(found)


def test_outputs_are_those_of_litert_on_the_host(make_agent, adb, tmp_path, images):
    model = small(tmp_path)
    inputs = npz(tmp_path / "in.npz", image=images)

    make_agent().infer(model, Inference(inputs, tmp_path / "out.npz"))

    expected = here(tmp_path, model, inputs)
    with np.load(tmp_path / "out.npz") as found:
        assert found.files == ["scores"]
        assert found["scores"].shape == (5, 4)
        np.testing.assert_array_equal(found["scores"], expected["scores"])
    assert len(np.unique(expected["scores"], axis=0)) > 1
    kinds = {name.rpartition(".")[2] for name in adb.files.names(adb.workdir)}
    assert kinds == {"tflite"}, "arrays are left on the device"
    (tool,) = adb.files.names(adb.cachedir)
    assert tool.startswith("benchmark_model-")


def test_outputs_keep_their_names_whatever_their_order(make_agent, tmp_path):
    model = loaded(two_outputs(tmp_path / "m.tflite"))
    x = np.random.default_rng(1).integers(-128, 128, (3, 8)).astype(np.int8)
    inputs = npz(tmp_path / "in.npz", x=x)
    make_agent().infer(model, Inference(inputs, tmp_path / "out.npz"))
    expected = here(tmp_path, model, inputs)
    with np.load(tmp_path / "out.npz") as found:
        assert set(found.files) == {"first", "second"}
        for name in found.files:
            np.testing.assert_array_equal(found[name], expected[name])


def test_several_calls_of_adb_make_one_stack(make_agent, tmp_path, images, monkeypatch):
    monkeypatch.setattr("edgecompress.runtimes.litert.android.RUNS_AT_ONCE", 2)
    model = small(tmp_path)
    inputs = npz(tmp_path / "in.npz", image=images)
    make_agent().infer(model, Inference(inputs, tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as found:
        expected = here(tmp_path, model, inputs)
        np.testing.assert_array_equal(found["scores"], expected["scores"])


@pytest.mark.parametrize("protocol", [Paced(), Throughput()])
def test_a_protocol_that_the_tool_cannot_follow_is_refused(make_agent, tmp_path, images, protocol):
    nchw = Inputs(((images[:1],),), "evaluation")
    with pytest.raises(SpecError, match=f"cannot follow the protocol '{protocol.protocol}'; use"):
        measure_file(Session(make_agent(), protocol, 1, nchw), small(tmp_path))


def test_two_files_in_turns(make_agent, tmp_path, images):
    model = small(tmp_path)
    nchw = Inputs(tuple((images[row : row + 1],) for row in range(2)), "evaluation")
    told = []

    session = Session(make_agent(), PROTOCOL, 1, nchw, lambda n, i, t: told.append((n, i)))
    device = Device(id="phone", target="android-xnnpack", transport="adb")
    found = compare(session, model, model, device)

    assert told == [("baseline", 1), ("candidate", 1), ("candidate", 2), ("baseline", 2)]
    assert found.emulated, "the test-suite's adbd says that it is an emulator"
    assert found.probe.system == "Android 13 (API 33), edgecompress adbd of the test-suite"
    assert found.probe.versions["benchmark_model"].startswith("sha256 ")
    measurement = found.candidate
    assert not measurement.has_samples
    assert (
        0 < measurement.latency_ms_p50 <= measurement.latency_ms_p90 <= measurement.latency_ms_p99
    )
    assert measurement.init_time_ms > 0
    assert measurement.first_inference_ms > 0
    throttled = "the board says throttled=moderate (Android's thermal status)"
    assert any(note.startswith(throttled) for note in measurement.notes)
    assert "throttled" in [reason.kind for reason in measurement.validity.reasons]
    assert any("p90 and p99 are at most" in note for note in measurement.notes)
    assert any("the first of 2 samples, again and again" in note for note in measurement.notes)
    assert measurement.inputs.samples == 1
    for turn in measurement.turns:
        assert turn.summary.count >= 30
        assert turn.latency_ms == ()
        assert turn.before.temperature_c == 43.25
    assert 0 < found.speedup_low <= found.speedup <= found.speedup_high


def test_without_a_delegate_the_runtime_s_own_kernels_run(make_agent, tmp_path, images):
    inputs = npz(tmp_path / "in.npz", image=images[:1])
    turn = make_agent(None).measure(small(tmp_path), 1, inputs, PROTOCOL)
    assert turn.notes == ()
    assert turn.threads == 1


@pytest.mark.parametrize(
    ("delegate", "expected"),
    [
        ("nnapi", "nnapi was asked for and runs no node of the graph"),
        ("gpu", "Failed to apply GPU delegate"),
    ],
)
def test_a_delegate_that_is_not_got_is_no_success(make_agent, tmp_path, images, delegate, expected):
    model = small(tmp_path)
    inputs = npz(tmp_path / "in.npz", image=images[:1])
    with pytest.raises(AgentError, match=expected):
        make_agent(delegate).measure(model, 1, inputs, PROTOCOL)
    with pytest.raises(AgentError, match=f"sample 0: {expected}"):
        make_agent(delegate).infer(model, Inference(inputs, tmp_path / "out.npz"))
    assert not (tmp_path / "out.npz").exists()


def test_a_failed_run_is_no_success(adb, tool, tmp_path, images):
    model = small(tmp_path)
    model.file.write_bytes(b"TFL3 and no more")
    changed = {"sha256": sha256_of(model.file)}
    model = replace(model, artifact=model.artifact.model_copy(update=changed))
    inputs = npz(tmp_path / "in.npz", image=images[:1])
    agent = AndroidAgent(adb, str(tool), "xnnpack")
    with pytest.raises(AgentError, match=r"benchmark_model .*m\.tflite: .*Benchmarking failed"):
        agent.measure(model, 1, inputs, PROTOCOL)


def test_a_tool_that_kills_itself_or_hangs_is_no_success(adb, tool, tmp_path, images):
    model, inputs = small(tmp_path), npz(tmp_path / "in.npz", image=images[:1])
    tool.write_text("#!/bin/sh\necho INFO: STARTING!\nkill -SEGV $$\n")
    with pytest.raises(AgentError, match="log is not complete"):
        AndroidAgent(adb, str(tool), None).measure(model, 1, inputs, PROTOCOL)
    tool.write_text("#!/bin/sh\nexec sleep 600\n")
    with pytest.raises(AgentError, match="ran longer than 2 s"):
        AndroidAgent(adb, str(tool), None, deadline_s=2).infer(
            model, Inference(inputs, tmp_path / "out.npz")
        )


def test_an_old_tool_has_no_percentiles_and_no_outputs(adb, phone, tool, tmp_path, images):
    there = f"{adb.workdir}/benchmark_model_old"
    shutil.copy(tool, phone.here(there))
    Path(phone.here(there)).chmod(0o755)
    model, inputs = small(tmp_path), npz(tmp_path / "in.npz", image=images[:1])
    agent = AndroidAgent(adb, there, "xnnpack")
    turn = agent.measure(model, 1, inputs, PROTOCOL)
    assert turn.summary.latency_ms_p50 is None
    assert turn.central_ms == (turn.summary.latency_ms_mean,)
    with pytest.raises(AgentError, match=r"wrote no outputs .* know --output_filepath"):
        agent.infer(model, Inference(inputs, tmp_path / "out.npz"))


def test_the_tool_is_sent_once(make_agent, adb, tmp_path, images, monkeypatch):
    sent = []
    put = adb.put
    monkeypatch.setattr(
        adb, "put", lambda local, *a, **k: (sent.append(local.name), put(local, *a, **k))
    )
    model, inputs = small(tmp_path), npz(tmp_path / "in.npz", image=images[:1])
    for _ in range(2):
        make_agent().measure(model, 1, inputs, PROTOCOL)
    assert sent == ["android_benchmark_model", "m.tflite", "in0", "in0"]


def test_a_file_that_lies_there_is_not_sent_and_must_be_the_one(make_agent, adb, tmp_path, images):
    model, inputs = small(tmp_path), npz(tmp_path / "in.npz", image=images[:1])
    released = f"{adb.root}/releases/one/model.tflite"
    adb.put(model.file, released, timeout_s=60)
    agent = make_agent()
    agent.place(model.artifact.sha256, released)
    turn = agent.measure(model, 1, inputs, PROTOCOL)
    assert turn.model_sha256 == model.artifact.sha256
    assert not [name for name in adb.files.names(adb.workdir) if name.endswith(".tflite")]
    adb.files.write(released, b"another")
    with pytest.raises(AgentError, match=r"releases/one/model\.tflite is not .*m\.tflite"):
        agent.infer(model, Inference(inputs, tmp_path / "out.npz"))


@pytest.mark.parametrize("given", [None, "/data/local/tmp/none", "none"])
def test_no_tool(adb, tmp_path, images, given):
    model, inputs = small(tmp_path), npz(tmp_path / "in.npz", image=images[:1])
    with pytest.raises(RuntimeMissing, match=r"benchmark_model.*download https://storage\.google"):
        AndroidAgent(adb, given, None).measure(model, 1, inputs, PROTOCOL)


def test_what_does_not_fit(make_agent, tmp_path, images):
    model = small(tmp_path)
    agent = make_agent()

    def infer(**arrays: np.ndarray) -> None:
        agent.infer(model, Inference(npz(tmp_path / "in.npz", **arrays), tmp_path / "out.npz"))

    with pytest.raises(ArtifactError, match=r"input 'image' is missing in \['x'\]"):
        infer(x=images)
    with pytest.raises(ArtifactError, match=r"takes float32 \[1, 6, 6, 3\], not float64"):
        infer(image=images.astype(np.float64))
    with pytest.raises(ArtifactError, match=r"not float32 \[1, 6, 6, 2\]"):
        infer(image=images[..., :2])
    with pytest.raises(AgentError, match="has no reference kernels"):
        agent.infer(model, Inference(tmp_path / "in.npz", tmp_path / "o", kernels="reference"))
    onnx_files.linear(tmp_path / "m.onnx", features=8, classes=3)
    with pytest.raises(ArtifactError, match="runs tflite, not onnx"):
        agent.measure(onnx_files.loaded(tmp_path / "m.onnx"), 1, tmp_path / "in.npz", PROTOCOL)


def test_a_phone_runs_files_and_builds_no_engines(make_agent, adb, tmp_path):
    model, agent = small(tmp_path), make_agent()
    assert agent.prepare(model.artifact, Preparation("litert")) == model
    flags = EngineFlags(
        fp16=False, sparse_weights=False, strongly_typed=True, workspace_bytes=1 << 28
    )
    with pytest.raises(AgentError, match=f"{adb.name}: this device has no agent to build engines"):
        agent.prepare(model.artifact, Preparation("tensorrt", flags))


class Classes(ClassificationTask):
    classes = 4

    def model(self):
        return torch.nn.Identity()

    def example_inputs(self):
        return (torch.zeros(1, 3, 6, 6),)

    def train_data(self):
        return self.eval_data()

    def eval_data(self):
        images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
        return [(images, torch.arange(8) % 4)]


def test_accuracy_is_that_of_the_host(make_agent, tmp_path):
    layout = {"edgecompress.layout": b'{"image": "nhwc"}'}
    model = small(tmp_path, layout)
    task = Classes()
    guard(task)
    local = Agent(LocalTransport(tmp_path / "local"), sys.executable)
    found, expected = (
        evaluate(Runs(agent, model, tmp_path), task, lambda _: None)
        for agent in (make_agent(), local)
    )
    assert found == expected
    assert found.samples == 8
    assert 0 < found.value < 1
