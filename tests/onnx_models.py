"""Small real ONNX files: built, quantised by onnxruntime's own tool, optimised by onnxruntime."""

import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from edgecompress.runtimes.onnxruntime.inspect import inspect_onnx
from edgecompress.spec.measurement import Inspection, Op

RUNTIME = f"onnxruntime {onnxruntime.__version__}"
MACHINE = platform.machine()
ON_X86 = MACHINE in ("x86_64", "AMD64")

onnxruntime.set_default_logger_severity(3)


class GraphBuilder:
    """Adds nodes one after the other; each method returns the name of the tensor it wrote."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int | str | None], dtype=TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, shape: Sequence[int | str | None], dtype=TensorProto.FLOAT) -> str:
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str, shape: Sequence[int]) -> str:
        return self.constant(name, self.rng.normal(0, 0.2, shape).astype(np.float32))

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes) -> str:
        domain = attributes.pop("domain", "")
        self.nodes.append(
            helper.make_node(
                op, inputs, [output], name=f"{output}_{op}", domain=domain, **attributes
            )
        )
        return output

    def conv(self, x: str, name: str, weight: Sequence[int], relu=False, **attributes) -> str:
        inputs = [x, self.weight(f"{name}.weight", weight), self.weight(f"{name}.bias", weight[:1])]
        out = self.node("Conv", inputs, name, **attributes)
        return self.node("Relu", [out], f"{name}_relu") if relu else out

    def gemm(self, x: str, name: str, outputs: int, inputs: int) -> str:
        weight = self.weight(f"{name}.weight", (outputs, inputs))
        bias = self.weight(f"{name}.bias", (outputs,))
        return self.node("Gemm", [x, weight, bias], name, transB=1)

    def scale(self, name: str, scale=0.05, zero_point=128, dtype=np.uint8) -> tuple[str, str]:
        self.constant(f"{name}.scale", np.asarray(scale, np.float32))
        self.constant(
            f"{name}.zero", np.broadcast_to(np.asarray(zero_point, dtype), np.shape(scale))
        )
        return f"{name}.scale", f"{name}.zero"

    def qdq(self, x: str, name: str, scale=0.05, zero_point=128, dtype=np.uint8, **axis) -> str:
        parameters = self.scale(name, scale, zero_point, dtype)
        quantized = self.node("QuantizeLinear", [x, *parameters], f"{name}_q", **axis)
        return self.node("DequantizeLinear", [quantized, *parameters], f"{name}_dq", **axis)

    def int8_weight(self, name: str, shape: Sequence[int]) -> str:
        array = self.rng.integers(-127, 128, shape).astype(np.int8)
        self.constant(f"{name}.weight", array)
        parameters = self.scale(f"{name}.weight", 0.01, 0, np.int8)
        return self.node("DequantizeLinear", [f"{name}.weight", *parameters], f"{name}_weight_dq")

    def save(self, path: Path, opset: int = 20, metadata: dict[str, str] | None = None) -> Path:
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        helper.set_model_props(model, metadata or {})
        onnx.save(model, path)
        return path


class _RandomInputs(CalibrationDataReader):
    def __init__(self, path: Path) -> None:
        rng = np.random.default_rng(1)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._batches = iter([
            {
                value.name: rng.normal(size=[d if isinstance(d, int) else 1 for d in value.shape])
                .astype(np.float32)
                for value in session.get_inputs()
            }
            for _ in range(2)
        ])  # fmt: skip

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def quantized(path: Path, activations: QuantType = QuantType.QUInt8, **options) -> Path:
    """Q/DQ with int8 weights per channel, beside the float file."""
    out = path.with_name(f"{path.stem}-{activations.name}.onnx")
    quantize_static(
        path,
        out,
        _RandomInputs(path),
        quant_format=options.pop("quant_format", QuantFormat.QDQ),
        per_channel=options.pop("per_channel", True),
        activation_type=activations,
        weight_type=QuantType.QInt8,
        **options,
    )
    return out


def optimised(path: Path) -> Path:
    """What ONNX Runtime really runs on this machine."""
    out = path.with_suffix(".optimised.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(out)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return out


def inspected(path: Path, machine: str = MACHINE) -> Inspection:
    return inspect_onnx(path, optimised(path), RUNTIME, machine)


def only(inspection: Inspection, *op_types: str) -> Op:
    """The single op of these types."""
    found = [op for op in inspection.ops if op.op_type in op_types]
    assert len(found) == 1, [op.op_type for op in inspection.ops]
    return found[0]


def multiplying(inspection: Inspection) -> list[Op]:
    return [op for op in inspection.ops if op.macs]


def residual_net(blocks: int = 2) -> GraphBuilder:
    """Stem, residual blocks of two 3x3 convolutions of 8 channels at 8x8, pool, classifier."""
    g = GraphBuilder()
    x = g.conv(g.input("x", ("batch", 3, 8, 8)), "stem", (8, 3, 3, 3), relu=True, pads=[1] * 4)
    for index in range(blocks):
        y = g.conv(x, f"block{index}.conv1", (8, 8, 3, 3), relu=True, pads=[1] * 4)
        y = g.conv(y, f"block{index}.conv2", (8, 8, 3, 3), pads=[1] * 4)
        x = g.node("Relu", [g.node("Add", [x, y], f"sum{index}")], f"block{index}")
    pooled = g.node("GlobalAveragePool", [x], "pool")
    g.gemm(g.node("Flatten", [pooled], "flat"), "fc", 10, 8)
    g.output("fc", ("batch", 10))
    return g


RESIDUAL_MACS = 64 * 8 * 3 * 9 + 2 * 2 * 64 * 8 * 8 * 9 + 80
