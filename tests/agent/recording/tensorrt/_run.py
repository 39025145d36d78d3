"""Runtime, engine, context: each function is what CLASS_member does."""

import ctypes
import json

import numpy as np

from tensorrt._recorder import CLASSES, FAILS, VERSION, instance
from tensorrt._shared import MAGIC, dims, error, free_shape, needs_logger, numbers, session_of

TYPES = {
    "tensor(float)": ("FLOAT", "float32"),
    "tensor(float16)": ("HALF", "float16"),
    "tensor(int8)": ("INT8", "int8"),
    "tensor(int32)": ("INT32", "int32"),
    "tensor(int64)": ("INT64", "int64"),
    "tensor(bool)": ("BOOL", "bool"),
}


LAYERS = (("Reformatting CopyNode for Input Tensor 0 to product", 0.25), ("product + Relu_3", 1.5))
"""What every engine of the recording is made of, and how long each layer takes."""


def ICudaEngine_device_memory_size(self):
    return 4096


ICudaEngine_device_memory_size_v2 = ICudaEngine_device_memory_size


def Runtime_init(self, logger):
    self._state["logger"] = needs_logger(logger)


def Runtime_deserialize_cuda_engine(self, serialized_engine):
    blob = bytes(serialized_engine)
    head, _, onnx = blob.removeprefix(MAGIC).partition(b"\n")
    if FAILS == "load" or not blob.startswith(MAGIC):
        error(self._state["logger"], "Serialization assertion magicTag failed")
        return None
    if json.loads(head)["version"] != VERSION:
        error(self._state["logger"], "engine plan file is not compatible with this version")
        return None
    return instance("ICudaEngine", session=session_of(onnx), shapes=json.loads(head)["shapes"])


def ios(engine):
    session = engine._state["session"]
    return [(t, True) for t in session.get_inputs()] + [(t, False) for t in session.get_outputs()]


def io(engine, name):
    return next((tensor, mode) for tensor, mode in ios(engine) if tensor.name == name)


def ICudaEngine_num_io_tensors(self):
    return len(ios(self))


def ICudaEngine_get_tensor_name(self, index):
    return ios(self)[index][0].name


def ICudaEngine_get_tensor_mode(self, name):
    modes = CLASSES["TensorIOMode"]
    return modes.INPUT if io(self, name)[1] else modes.OUTPUT


def ICudaEngine_get_tensor_shape(self, name):
    return dims(free_shape(io(self, name)[0]))


def ICudaEngine_get_tensor_profile_shape(self, name, profile_index):
    return [dims(self._state["shapes"][name])] * 3


def ICudaEngine_get_tensor_dtype(self, name):
    return getattr(CLASSES["DataType"], TYPES[io(self, name)[0].type][0])


def ICudaEngine_num_bindings(self):
    return len(ios(self))


def ICudaEngine_get_binding_name(self, index):
    return ios(self)[index][0].name


def ICudaEngine_binding_is_input(self, index):
    return ios(self)[index][1]


def ICudaEngine_get_binding_shape(self, index):
    return dims(free_shape(ios(self)[index][0]))


def ICudaEngine_get_binding_dtype(self, index):
    return getattr(CLASSES["DataType"], TYPES[ios(self)[index][0].type][0])


def ICudaEngine_get_profile_shape(self, profile_index, binding):
    return [dims(self._state["shapes"][ios(self)[binding][0].name])] * 3


def ICudaEngine_create_engine_inspector(self):
    return instance("EngineInspector")


def EngineInspector_get_engine_information(self, format):
    return json.dumps({"Layers": ["recording"], "format": format.name})


def ICudaEngine_create_execution_context(self):
    if FAILS == "context":
        return None
    return instance("IExecutionContext", engine=self, shapes={}, addresses={})


def IExecutionContext_set_input_shape(self, name, shape):
    self._state["shapes"][name] = numbers(shape)
    return True


def IExecutionContext_set_binding_shape(self, binding, shape):
    return IExecutionContext_set_input_shape(
        self, ios(self._state["engine"])[binding][0].name, shape
    )


def IExecutionContext_get_tensor_shape(self, name):
    if io(self._state["engine"], name)[1]:
        return dims(self._state["shapes"][name])
    feed = {name: np.zeros(shape, kind) for name, shape, kind in self_inputs(self)}
    return dims(self._state["engine"]._state["session"].run([name], feed)[0].shape)


def IExecutionContext_get_binding_shape(self, binding):
    return IExecutionContext_get_tensor_shape(self, ios(self._state["engine"])[binding][0].name)


def self_inputs(context):
    for tensor, is_input in ios(context._state["engine"]):
        if is_input:
            yield tensor.name, context._state["shapes"][tensor.name], TYPES[tensor.type][1]


def IExecutionContext_set_tensor_address(self, name, memory):
    self._state["addresses"][name] = memory
    return True


def IExecutionContext_execute_async_v2(self, bindings, stream_handle):
    names = [tensor.name for tensor, _ in ios(self._state["engine"])]
    self._state["addresses"] = dict(zip(names, bindings, strict=True))
    return IExecutionContext_execute_async_v3(self, stream_handle)


def IExecutionContext_execute_async_v3(self, stream_handle):
    if FAILS == "infer" or not stream_handle:
        return False
    addresses = self._state["addresses"]
    feed = {}
    for name, shape, kind in self_inputs(self):
        array = np.empty(shape, kind)
        ctypes.memmove(array.ctypes.data, addresses[name], array.nbytes)
        feed[name] = array
    session = self._state["engine"]._state["session"]
    names = [tensor.name for tensor in session.get_outputs()]
    for name, array in zip(names, session.run(names, feed), strict=True):
        ctypes.memmove(addresses[name], np.ascontiguousarray(array).ctypes.data, array.nbytes)
    for layer, ms in LAYERS if "profiler" in self._state else ():
        self._state["profiler"].report_layer_time(layer, ms)
    return True
