"""What both halves of the recording need: sizes, errors, the session that stands for an engine."""

import onnxruntime as ort

from tensorrt._recorder import CLASSES, instance

MAGIC = b"RECORDING OF TENSORRT "


def error(logger, text):
    logger.log(CLASSES["ILogger"].Severity.ERROR, text)


def dims(shape):
    return instance("Dims", shape=list(shape))


def numbers(given):
    return [given[index] for index in range(len(given))]


def needs_logger(logger):
    # pybind11 says so when a Python subclass forgets it.
    if not logger._state.get("made"):
        raise TypeError("ILogger.__init__() must be called when overriding __init__")
    return logger


def session_of(onnx):
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def free_shape(tensor):
    return [size if isinstance(size, int) else -1 for size in tensor.shape]
