"""Small ONNX files whose times are known against one another."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgecompress.measure.inputs import Inputs
from edgecompress.measure.loaded import Loaded
from edgecompress.pipeline.formats import describe_file


def chain(path: Path, layers: int, channels: int = 16, size: int = 16) -> Loaded:
    """So many equal 3x3 convolutions, one after the other: time goes with their number."""
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((channels, channels, 3, 3)).astype(np.float32)
    weight /= np.sqrt(channels * 9)
    names = ["x", *(f"y{layer}" for layer in range(layers))]
    nodes = [
        helper.make_node("Conv", [before, "w"], [after], pads=[1, 1, 1, 1])
        for before, after in pairwise(names)
    ]
    shape = [1, channels, size, size]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return Loaded(describe_file(path), "onnxruntime")


def inputs_for(file: Loaded) -> Inputs:
    """One sample of noise."""
    (info,) = file.artifact.inputs
    shape = [int(size) for size in info.shape]
    sample = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    return Inputs(((sample,),), "random")
