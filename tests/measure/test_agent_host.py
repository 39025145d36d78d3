"""The host's side: what is sent, and what each way of failing becomes."""

import io
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx_files
import pytest

from edgecompress.artifact import sha256_of
from edgecompress.errors import AgentError, ArtifactError, DeviceError, RuntimeMissing
from edgecompress.measure import agent_file
from edgecompress.measure.agent import Agent, Inference
from edgecompress.measure.agent_file import build_agent
from edgecompress.spec.engine import EngineFlags
from edgecompress.transport import Completed


@pytest.fixture
def model(tmp_path):
    onnx_files.linear(tmp_path / "model.onnx", features=8, classes=3)
    return onnx_files.loaded(tmp_path / "model.onnx")


@pytest.fixture
def inputs(tmp_path):
    np.savez(tmp_path / "inputs.npz", x=np.ones((1, 8), "float32"))
    return tmp_path / "inputs.npz"


@pytest.fixture
def program(tmp_path):
    """program(script): a shell script in the place of the device's Python."""

    def write(script: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return write


def test_agent_bytes_depend_on_the_sources_alone(tmp_path, monkeypatch):
    expected = build_agent()
    copy = tmp_path / "agent"
    shutil.copytree(agent_file.agent_dir(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in copy.iterdir():
        os.utime(file, (1e9, 1e9))
        file.chmod(0o600)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "state.pyc").write_bytes(b"compiled")
    monkeypatch.setattr(agent_file, "agent_dir", lambda: copy)
    assert build_agent() == expected
    (copy / "state.py").write_text("# changed")
    assert build_agent() != expected
    for entry in zipfile.ZipFile(io.BytesIO(expected)).infolist():
        # What zipfile would take from the clock, the system and the umask of this machine.
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert (entry.create_system, entry.external_attr >> 16) == (3, 0o644)
        assert entry.compress_type == zipfile.ZIP_STORED


def test_probe(agent):
    probe = agent.probe()
    assert probe.cores >= 1
    assert probe.versions["numpy"] == np.__version__


def test_each_file_travels_once(agent, transport, model, inputs, protocol):
    for _ in range(2):
        agent.measure(model, 1, inputs, protocol)
    assert len(transport.sent) == 3
    assert len(set(transport.sent)) == 3
    again = Agent(transport, sys.executable)
    again.measure(model, 1, inputs, protocol)
    assert len(transport.sent) == 3


def test_changed_model_travels_again(agent, transport, model, inputs, protocol):
    agent.measure(model, 1, inputs, protocol)
    onnx_files.linear(model.file, features=8, classes=4)
    agent.measure(model, 1, inputs, protocol)
    assert len(transport.sent) == 4


def test_infer_leaves_no_arrays_on_the_device(agent, transport, model, inputs, tmp_path):
    agent.infer(model, Inference(inputs, tmp_path / "outputs.npz"))
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert outputs["scores"].shape == (1, 3)
    suffixes = sorted(file.suffix for file in Path(transport.workdir).iterdir())
    assert suffixes == [".onnx", ".pyz"]


def test_optimise(agent, model, tmp_path):
    runtime, machine = agent.optimise(model, tmp_path / "optimised.onnx")
    assert runtime.startswith("onnxruntime ")
    assert machine == os.uname().machine
    assert (tmp_path / "optimised.onnx").stat().st_size > 0


def test_missing_runtime(transport, model, inputs, protocol, program):
    bare = Agent(transport, program(f'exec "{sys.executable}" -S "$@"'))
    with pytest.raises(RuntimeMissing, match=r"No module named '.*'; run: .* -m pip install numpy"):
        bare.measure(model, 1, inputs, protocol)


def test_unreadable_model(agent, model, inputs, protocol):
    model.file.write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match=r"model\.onnx: onnxruntime"):
        agent.measure(model, 1, inputs, protocol)


def test_missing_python(transport):
    with pytest.raises(DeviceError, match="'/no/python' cannot be started"):
        Agent(transport, "/no/python").probe()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo hello", "no answer in JSON"),
        (
            "echo loading >&2; echo out of luck >&2; exit 7",
            r"\(exit code 7\); it last said: out of luck",
        ),
        ("kill -SEGV $$", "died of SIGSEGV"),
        ("kill -KILL $$", r"died of SIGKILL \(out of memory\?\)"),
        ("""echo '{"schema_version": 2, "ok": true}'""", "schema_version"),
        ("""echo '{"schema_version": 1, "ok": true, "result": {}}'""", "missing key 'machine'"),
        ("""echo '{"schema_version": 1, "ok": false}'""", "contradict"),
        ("echo '[]'", "agent probe"),
    ],
)
def test_what_is_not_an_answer(transport, program, script, expected):
    with pytest.raises(AgentError, match=expected) as caught:
        Agent(transport, program(script)).probe()
    assert str(caught.value).startswith("this machine: agent probe: ")
    assert "\n" not in str(caught.value)


def test_no_answer_in_time(transport, program):
    with pytest.raises(AgentError, match=r"agent probe: this machine: .* ran longer than 1 s"):
        Agent(transport, program("sleep 600"), deadline_s=1).probe()


@pytest.mark.parametrize(
    ("times", "death", "runs"),
    [(1, "kill -ABRT $$", 2), (1, "exit 139", 2), (9, "kill -SEGV $$", 2), (9, "exit 7", 1)],
)
def test_what_a_signal_ends_is_tried_once_more(
    transport, program, tmp_path, times: int, death: str, runs: int
) -> None:
    log = tmp_path / "runs"
    count = f'echo >> {log}; if [ "$(wc -l < {log})" -le {times} ]; then {death}; fi'
    agent = Agent(transport, program(f'{count}\nexec "{sys.executable}" "$@"'))
    if times == 1:
        assert agent.probe().machine
    else:
        with pytest.raises(AgentError, match=r"died of SIGSEGV|exit code 7"):
            agent.probe()
    assert len(log.read_text().splitlines()) == runs
    notes = [note for note in agent.retried if "was tried once more" in note]
    assert len(notes) == runs - 1
    assert all(note.startswith("this machine: agent probe: the program") for note in notes)


def test_what_passes_its_deadline_is_not_tried_again(transport, program, tmp_path) -> None:
    log = tmp_path / "runs"
    agent = Agent(transport, program(f"echo >> {log}; sleep 600"), deadline_s=1)
    with pytest.raises(AgentError, match="ran longer than 1 s"):
        agent.probe()
    assert (len(log.read_text().splitlines()), agent.retried) == (1, [])


def test_each_command_has_its_own_deadline(
    agent, transport, model, inputs, protocol, tmp_path, monkeypatch
):
    asked = {}

    def refuse(_, stdin=b"", *, timeout_s):
        request = json.loads(stdin)
        asked[request["command"]] = (timeout_s, request)
        return Completed(7, b"", b"")

    monkeypatch.setattr(transport, "run", refuse)
    flags = EngineFlags(
        fp16=False, sparse_weights=False, strongly_typed=False, workspace_bytes=1 << 28
    )
    half_a_minute = protocol.model_copy(update={"min_duration_s": 25.0, "max_warmup_s": 5.0})
    made = model.artifact
    (free,) = made.inputs
    inputs_of = {"inputs": (free, free.model_copy(update={"name": "fixed", "shape": (2, 8)}))}
    for ask in (
        agent.probe,
        lambda: agent.measure(model, 1, inputs, half_a_minute),
        lambda: agent.infer(model, Inference(inputs, tmp_path / "outputs.npz")),
        lambda: agent.build(made.model_copy(update=inputs_of), flags, batch=4),
    ):
        with pytest.raises(AgentError, match="exit code 7"):
            ask()
    deadlines = {command: timeout_s for command, (timeout_s, _) in asked.items()}
    assert deadlines == {"probe": 900, "measure": 930, "infer": 900, "build": 900 + 3600}
    assert asked["infer"][1]["batch"] == 1
    assert asked["build"][1]["shapes"] == {"x": [4, 8]}


def test_figures_of_another_file_are_refused(agent, transport, model, inputs, protocol, tmp_path):
    other = Path(transport.path("other.onnx"))
    onnx_files.linear(other, features=8, classes=4)
    agent.place(sha256_of(model.file), str(other))
    ran = rf"the agent ran a file of sha256 {sha256_of(other)[:12]}\.\., not .*model\.onnx"
    with pytest.raises(AgentError, match=ran):
        agent.measure(model, 1, inputs, protocol)
    with pytest.raises(AgentError, match=ran):
        agent.infer(model, Inference(inputs, tmp_path / "outputs.npz"))
    assert not (tmp_path / "outputs.npz").exists()


@pytest.mark.parametrize(
    ("kind", "alone", "with_a_model"),
    [
        ("missing", RuntimeMissing, RuntimeMissing),
        ("input", AgentError, ArtifactError),
        ("runtime", AgentError, AgentError),
    ],
)
def test_what_the_agent_reports_itself(
    transport, program, model, inputs, protocol, kind, alone, with_a_model
):
    fault = {"schema_version": 1, "ok": False, "error": {"kind": kind, "message": "no luck"}}
    agent = Agent(transport, program(f"echo '{json.dumps(fault)}'"))
    for ask, error in (
        (agent.probe, alone),
        (lambda: agent.measure(model, 1, inputs, protocol), with_a_model),
    ):
        with pytest.raises(error, match="no luck") as caught:
            ask()
        assert type(caught.value) is error
