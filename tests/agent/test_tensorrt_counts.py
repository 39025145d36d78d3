"""Times of an engine's layers and its memory, against the recordings of TensorRT and CUDA."""

import pytest
from tensorrt_recording import VERSIONS
from test_tensorrt_build import Board


@pytest.fixture
def board(ask, tmp_path):
    return lambda version: Board(ask, tmp_path, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_are_timed_apart_from_latencies(board, version):
    here = board(version)
    engine = here.build().result["engine"]
    here.run("measure", engine)
    assert not any("profiler" in call for call in here.calls)
    found = here.run("profile", engine).result
    assert "IExecutionContext.profiler = LayerTimes" in here.calls
    assert found["runtime"] == f"tensorrt {version}"
    assert found["inferences"] >= 5
    told = [(each["name"], each["op_type"], each["time_us"]) for each in found["operators"]]
    assert told == [
        ("Reformatting CopyNode for Input Tensor 0 to product", "layer", 250.0),
        ("product + Relu_3", "layer", 1500.0),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_memory_of_the_gpu_is_what_the_engine_says(board, version):
    here = board(version)
    engine = here.build().result["engine"]
    found = here.run("usage", engine).result
    assert (found["arena_bytes"], found["runtime_was_used"]) == (4096, True)
    assert "GPU" in found["arena_of"]
