"""What is read of a TFLite file is written again: the same file for whoever reads it."""

import pytest

pytest.importorskip("ai_edge_litert", reason="TFLite needs ai-edge-litert")

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from tflite_files import FileBuilder, float_edges

from edgecompress.formats.tflite import Tflite
from edgecompress.formats.tflite.file import describe as describe_tflite
from edgecompress.formats.tflite.reader import load
from edgecompress.formats.tflite.write import write
from edgecompress.runtimes.litert.inspect import inspect_tflite


def a_loop(path):
    """A WHILE, whose condition and body are graphs of their own; a free batch."""
    b = FileBuilder()
    b.tensor("x", (-1, 2), "float32")
    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    b.op("WHILE", ["x"], [b.tensor("y", (-1, 2), "float32")], options=options)
    for name in ("condition", "body"):
        b.new_graph()
        b.op("NEG", [b.tensor("x", (1, 2), "float32")], [b.tensor(name, (1, 2), "float32")])
    return b.save(path, {"x": "in"}, {"y": "out"})


def a_custom_operator(path):
    b = FileBuilder()
    b.tensor("x", (1, 2), "float32")
    b.op("Mine", ["x", None], [b.tensor("y", (1, 2), "float32")], version=3)
    return b.save(path, {"x": "in"}, {"y": "out"}, {"note": b"1"})


def of_a_type_that_numpy_lacks(path):
    b = FileBuilder()
    b.tensor("x", (1, 3), "float32")
    packed = b.tensor("w", (2, 3), "int4", data=np.array([1, 2, 3], np.uint8))
    b.op("FULLY_CONNECTED", ["x", packed, None], [b.tensor("y", (1, 2), "float32")])
    return b.save(path, {"x": "in"}, {"y": "out"})


@pytest.mark.parametrize(
    "make", [float_edges, a_loop, a_custom_operator, of_a_type_that_numpy_lacks]
)
def test_a_file_is_written_as_it_was_read(tmp_path, make):
    path, again = make(tmp_path / "m.tflite"), tmp_path / "again.tflite"
    model = load(path)
    again.write_bytes(write(model))

    assert write(load(again)) == again.read_bytes()
    ours, theirs = describe_tflite(again), describe_tflite(path)
    assert (ours.inputs, ours.outputs) == (theirs.inputs, theirs.outputs)
    assert load(again).metadata == model.metadata
    assert inspect_tflite(again, "litert", "x86_64").ops == (
        inspect_tflite(path, "litert", "x86_64").ops
    )


def test_activations_are_shown_beside_what_a_file_gives(tmp_path):
    path = float_edges(tmp_path / "m.tflite")
    exposed = Tflite().expose(describe_tflite(path), tmp_path / "exposed.tflite")

    assert [each.layer for each in exposed.activations] == ["xq", "stem", "conv", "pooled", "fc"]
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype(np.float32)
    results = []
    for file in (path, exposed.artifact.path):
        runner = Interpreter(str(file), num_threads=1).get_signature_runner()
        results.append(runner(image=x))
    np.testing.assert_array_equal(results[0]["scores"], results[1]["scores"])
    step = exposed.activations[-1]
    stored = results[1][step.output].astype(np.float32)
    np.testing.assert_array_equal((stored - step.zero_point) * step.scale, results[1]["scores"])
