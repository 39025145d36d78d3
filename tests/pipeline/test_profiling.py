"""`inspect --time`: the time of each operator beside what it is."""

import onnx_files
import pytest
from tflite_files import float_edges

from edgecompress.errors import AgentError, SpecError
from edgecompress.pipeline import inspect_file


def test_operators_have_the_time_that_the_runtime_counts(tmp_path):
    onnx_files.linear(tmp_path / "m.onnx", features=64, classes=64)
    (without,) = inspect_file(tmp_path / "m.onnx").ops
    (op,) = inspect_file(tmp_path / "m.onnx", time=True).ops
    assert without.time_us is None
    assert op.time_us > 0
    assert op.model_copy(update={"time_us": None}) == without


def test_what_counts_nothing_says_so(tmp_path):
    pytest.importorskip("ai_edge_litert")
    file = float_edges(tmp_path / "m.tflite")
    with pytest.raises(AgentError, match=r"m\.tflite: no time of operators: .* has no profiler"):
        inspect_file(file, time=True)


def test_another_runtime_s_time_is_no_time(tmp_path):
    onnx_files.linear(tmp_path / "m.onnx", features=8, classes=8)
    with pytest.raises(SpecError, match="runs tensorrt, and this machine has onnxruntime"):
        inspect_file(tmp_path / "m.onnx", "jetson-orin-nano", time=True)
