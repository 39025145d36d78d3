"""The samples of a measurement: how many, in which file, and that the runtime really gets each."""

from pathlib import Path

import numpy as np
import onnx_files
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_files import value

from edgecompress.measure.compare import measure_file
from edgecompress.measure.inputs import (
    LEAST_SAMPLES,
    MOST_BYTES,
    MOST_SAMPLES,
    Inputs,
    enough,
    read_feeds,
    write_feeds,
)
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.turns import Session

ARRAYS = np.arange(12, dtype=np.float32).reshape(3, 1, 4)


@given(st.integers(0, 64 << 20))
def test_a_bounded_amount_is_cycled(size):
    count = enough([np.broadcast_to(np.uint8(0), (1, size))])
    assert LEAST_SAMPLES <= count <= MOST_SAMPLES
    assert count == LEAST_SAMPLES or count * size <= MOST_BYTES


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_was_written_is_read(tmp_path, count):
    onnx_files.linear(tmp_path / "m.onnx", features=4, classes=3)
    model = onnx_files.loaded(tmp_path / "m.onnx").artifact
    samples = tuple((array,) for array in ARRAYS[:count])
    feeds = Inputs(samples, "evaluation").feeds(model)
    write_feeds(tmp_path / "in.npz", feeds)
    found = read_feeds(tmp_path / "in.npz", model)
    assert len(found) == count
    for sample, arrays in zip(samples, found, strict=True):
        assert list(arrays) == ["x"]
        np.testing.assert_array_equal(arrays["x"], sample[0])


def test_the_runtime_gets_one_sample_after_the_other(agent, protocol, tmp_path):
    model = counts_up(tmp_path / "m.onnx")
    short, long = np.full((1, 1), 1, np.float32), np.full((1, 1), 30_000, np.float32)
    inputs = Inputs(((short,), (long,)), "evaluation")
    exact = protocol.model_copy(update={"max_warmup_s": 0.0})
    turn = measure_file(Session(agent, exact, 1, inputs), model).turns[0]
    assert turn.distinct_inputs == 2
    # The first inference, two for warming up, and then those that count.
    assert turn.first_inference_ms < turn.warmup_ms[0]
    odd, even = turn.latency_ms[0::2], turn.latency_ms[1::2]
    assert np.median(odd) > 10 * np.median(even)


def counts_up(path: Path) -> Loaded:
    """An inference takes as many rounds of a loop as its input says."""
    number, truth = TensorProto.INT64, TensorProto.BOOL
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["before", "one"], ["after"]),
        ],
        "body",
        [value("round", number, []), value("go", truth, []), value("before", number, [])],
        [value("go_on", truth, []), value("after", number, [])],
    )
    onnx_files.save(
        path,
        [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Cast", ["most"], ["rounds"], to=number),
            helper.make_node("Loop", ["rounds", "", "zero"], ["counted"], body=body),
        ],
        [value("x", TensorProto.FLOAT, ["batch", 1])],
        [value("counted", number, [])],
        {"zero": np.array(0), "one": np.array(1)},
    )
    return onnx_files.loaded(path)
