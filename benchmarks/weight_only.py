"""What ONNX Runtime's CPU kernels make of float16, and of weights in 8 and 4 bits alone.

    python benchmarks/weight_only.py

In turns, in one process and one thread: products of one row and of 64 rows with four matrices of
1024 x 1024, and three 3x3 convolutions of 64 channels. Told is the fastest of 40 runs, because
others' load only ever adds.
"""

import copy
import time
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import DTypeLike, NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

SIZE, LAYERS, RUNS = 1024, 4, 40
ROWS = (1, 64)


def chain(operator: str, weights: list[NDArray[np.float32]], shape: list[int]) -> onnx.ModelProto:
    """One operator after another, in the type of the weights."""
    kind = helper.np_dtype_to_tensor_dtype(weights[0].dtype)
    names = ["x", *(f"y{index}" for index in range(len(weights)))]
    options: dict[str, Any] = {"pads": [1, 1, 1, 1]} if operator == "Conv" else {}
    graph = helper.make_graph(
        [
            helper.make_node(operator, [names[index], f"w{index}"], [names[index + 1]], **options)
            for index in range(len(weights))
        ],
        "chain",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(names[-1], kind, shape)],
        [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)],
    )
    opset = helper.make_opsetid("", 21)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def in_bits(model: onnx.ModelProto, bits: int) -> onnx.ModelProto:
    """Weights of products in so few bits, 32 to a scale; activations are rounded as they come."""
    quantizer = MatMulNBitsQuantizer(
        copy.deepcopy(model), bits=bits, block_size=32, is_symmetric=True, accuracy_level=4
    )
    quantizer.process()
    quantised: onnx.ModelProto = quantizer.model.model
    return quantised


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def show(title: str, models: dict[str, onnx.ModelProto]) -> None:
    """The fastest run of each, in turns."""
    sessions = {name: session_of(model) for name, model in models.items()}
    best_s = dict.fromkeys(sessions, float("inf"))
    for _ in range(RUNS):
        for name, session in sessions.items():
            given = session.get_inputs()[0]
            half = "float16" in given.type
            x = np.ones(given.shape, np.float16 if half else np.float32)
            start = time.perf_counter()
            session.run(None, {given.name: x})
            best_s[name] = min(best_s[name], time.perf_counter() - start)
    found = ", ".join(f"{name} {1e3 * seconds:.3f} ms" for name, seconds in best_s.items())
    print(f"{title}: {found}", flush=True)


def weights(shape: tuple[int, ...], count: int, kind: DTypeLike) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(0)
    size = float(np.prod(shape[1:])) ** 0.5
    return [(random.standard_normal(shape) / size).astype(kind) for _ in range(count)]


def main() -> None:
    print(f"onnxruntime {onnxruntime.__version__}", flush=True)
    for rows in ROWS:
        kinds = {
            str(np.dtype(kind)): chain("MatMul", weights((SIZE, SIZE), LAYERS, kind), [rows, SIZE])
            for kind in (np.float32, np.float16)
        }
        single = kinds["float32"]
        bits = {f"weights of {bits} bits": in_bits(single, bits) for bits in (8, 4)}
        show(f"{LAYERS} products, {rows} rows", kinds | bits)
    images = {
        str(np.dtype(kind)): chain("Conv", weights((64, 64, 3, 3), 3, kind), [1, 64, 32, 32])
        for kind in (np.float32, np.float16)
    }
    show("3 convolutions", images)


if __name__ == "__main__":
    main()
