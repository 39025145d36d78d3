"""Android: the real adb server and client, the test-suite's adbd, ExecuTorch behind its tool."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("executorch", reason="executorch is not installed")
pytest.importorskip("adbutils", reason="transport adb needs adbutils")

from android_phone.phone import adb, adb_server, make_phone, phone

from edgecompress.artifact import sha256_of
from edgecompress.errors import AgentError, ArtifactError, RuntimeMissing
from edgecompress.measure.agent import Agent, Inference
from edgecompress.measure.loaded import Loaded
from edgecompress.runtimes.executorch.android import AndroidAgent
from edgecompress.runtimes.executorch.file import describe
from edgecompress.spec.protocol import Standard
from edgecompress.transport import LocalTransport

__all__ = ["adb", "adb_server", "make_phone", "phone"]

NET = Path(__file__).with_name("net.pte")
TOOL = Path(__file__).with_name("executor_runner.py")
PROTOCOL = Standard(warmup_iterations=2, min_iterations=5, min_duration_s=1e-4, turns=1)


def tool(folder: Path, logs: bool = True) -> str:
    """A copy here, as a user builds it."""
    file = folder / "executor_runner"
    text = TOOL.read_text().replace("LOGS = True", f"LOGS = {logs}")
    file.write_text(f"#!{sys.executable}\n{text}")
    return str(file)


@pytest.fixture
def loaded() -> Loaded:
    return Loaded(describe(NET), "executorch")


@pytest.fixture
def inputs(tmp_path) -> Path:
    random = np.random.default_rng(3)
    path = tmp_path / "in.npz"
    arrays = {
        "in0": random.standard_normal((3, 3, 8, 8), np.float32),
        "in1": random.standard_normal((3, 8), np.float32),
    }
    np.savez(path, **arrays)
    return path


def test_outputs_are_those_of_this_machine(adb, tmp_path, loaded, inputs):
    agent = AndroidAgent(adb, tool(tmp_path))
    agent.infer(loaded, Inference(inputs, tmp_path / "there.npz"))
    here = Agent(LocalTransport(tmp_path / "here"), sys.executable)
    here.infer(loaded, Inference(inputs, tmp_path / "here.npz"))
    with np.load(tmp_path / "there.npz") as there, np.load(tmp_path / "here.npz") as expected:
        assert there.files == ["out0", "out1"]
        assert there["out0"].shape == (3, 5)
        for name in there.files:
            np.testing.assert_array_equal(there[name], expected[name])
        assert len(np.unique(expected["out0"], axis=0)) == 3
    assert {name.rpartition(".")[2] for name in adb.files.names(adb.workdir)} == {"pte"}


def test_a_turn_has_every_sample(adb, tmp_path, loaded, inputs):
    turn = AndroidAgent(adb, tool(tmp_path)).measure(loaded, 1, inputs, PROTOCOL)
    assert len(turn.warmup_ms) == 3
    assert len(turn.latency_ms) >= 5
    assert turn.first_inference_ms == turn.warmup_ms[0]
    assert turn.init_time_ms > 0
    assert turn.peak_rss_bytes > 1 << 20
    assert turn.model_sha256 == loaded.artifact.sha256


def test_a_build_without_logging(adb, tmp_path, loaded, inputs):
    agent = AndroidAgent(adb, tool(tmp_path, logs=False))
    with pytest.raises(AgentError, match="-DEXECUTORCH_ENABLE_LOGGING=ON"):
        agent.measure(loaded, 1, inputs, PROTOCOL)


def test_what_cannot_run(adb, tmp_path, loaded, inputs):
    with pytest.raises(RuntimeMissing, match="Android needs ExecuTorch's executor_runner"):
        AndroidAgent(adb, None).infer(loaded, Inference(inputs, tmp_path / "out.npz"))
    with pytest.raises(RuntimeMissing, match="neither a file here nor one there"):
        AndroidAgent(adb, "/system/bin/none").infer(loaded, Inference(inputs, tmp_path / "o.npz"))
    broken = tmp_path / "broken.pte"
    broken.write_bytes(NET.read_bytes()[:100])
    artifact = loaded.artifact.model_copy(update={"path": broken})
    wrong = artifact.model_copy(update={"sha256": sha256_of(broken)})
    agent = AndroidAgent(adb, tool(tmp_path))
    with pytest.raises(AgentError) as caught:
        agent.infer(Loaded(wrong, "executorch"), Inference(inputs, tmp_path / "out.npz"))
    assert "\n" not in str(caught.value)
    few = tmp_path / "few.npz"
    np.savez(few, in0=np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(ArtifactError, match="input 'in1' is missing"):
        agent.infer(loaded, Inference(few, tmp_path / "out.npz"))
