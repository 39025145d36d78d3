"""A picture through an engine of TensorRT, prepared as the ONNX file behind it declares.

    pip install onnx pillow  # beside TensorRT 8.5 or later, which JetPack brings
    python examples/run_tensorrt.py model.engine model.onnx picture.jpg
    edgecompress check-contract model.onnx \
        --app "python examples/run_tensorrt.py model.engine model.onnx"

The declaration is in the `metadata_props` of model.onnx, under edgecompress.preprocessing; an
engine has none. No GPU was at hand: this was run on recordings of TensorRT and CUDA, never on a
board.
"""

import ctypes
import sys
from pathlib import Path

import numpy as np
import onnx
import picture
import tensorrt as trt

TO_DEVICE, TO_HOST = 1, 2
DTYPES = {"FLOAT": np.float32, "HALF": np.float16, "INT32": np.int32, "INT64": np.int64}


class Log(trt.ILogger):
    def log(self, severity: trt.ILogger.Severity, text: str) -> None:
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            print(text, file=sys.stderr)


def cuda(name, *arguments):
    code = getattr(ctypes.CDLL("libcudart.so"), name)(*arguments)
    if code:
        raise SystemExit(f"CUDA: {name}: error {code}")


def made(name, *arguments):
    """A handle or an address, which CUDA writes to its function's first argument."""
    handle = ctypes.c_void_p()
    cuda(name, ctypes.byref(handle), *arguments)
    return handle


def copied(buffer, direction, stream):
    array, host, device = buffer
    to, source = (device, host) if direction == TO_DEVICE else (host, device)
    cuda("cudaMemcpyAsync", to, source, ctypes.c_size_t(array.nbytes), direction, stream)


def main(engine_file, file, path, tensor=None):
    """`tensor`: a .npy file for what the network is given, as check-contract asks."""
    notes = {note.key: note.value for note in onnx.load(file).metadata_props}
    given = picture.prepared(path, picture.declared_in(notes))
    if tensor is not None:
        np.save(tensor, given)
    log = Log()
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(Path(engine_file).read_bytes())
    if engine is None:
        raise SystemExit(
            f"{engine_file}: TensorRT {trt.__version__} cannot load it; build it again"
        )
    context = engine.create_execution_context()
    stream = made("cudaStreamCreate")
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    modes = {name: engine.get_tensor_mode(name) for name in names}
    (taken,) = [name for name in names if modes[name] == trt.TensorIOMode.INPUT]
    context.set_input_shape(taken, given.shape)
    buffers = {}
    for name in names:
        shape = tuple(context.get_tensor_shape(name))
        kind = engine.get_tensor_dtype(name)
        array = np.empty(shape, DTYPES[kind.name])
        size = ctypes.c_size_t(array.nbytes)
        buffers[name] = array, made("cudaMallocHost", size), made("cudaMalloc", size)
        context.set_tensor_address(name, buffers[name][2].value)
    ctypes.memmove(buffers[taken][1], given.ctypes.data, given.nbytes)
    copied(buffers[taken], TO_DEVICE, stream)
    if not context.execute_async_v3(stream.value):
        raise SystemExit(f"{engine_file}: TensorRT {trt.__version__} does not run it")
    outputs = {name: buffer for name, buffer in buffers.items() if name != taken}
    for buffer in outputs.values():
        copied(buffer, TO_HOST, stream)
    cuda("cudaStreamSynchronize", stream)
    for name, (array, host, _) in outputs.items():
        ctypes.memmove(array.ctypes.data, host, array.nbytes)
        picture.show(name, array, notes)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        raise SystemExit("usage: run_tensorrt.py MODEL.engine MODEL.onnx PICTURE [INPUT.npy]")
    main(*sys.argv[1:])
