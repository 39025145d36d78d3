"""A recording of TensorRT's Python package, for tests: no GPU, and nothing of it looks like one.

Its classes are made from the description of a real release (`tensorrt_api/*.json`, read from that
release's own extension module), so that each has the members of the real one and no other, takes
the parameters of the real one, and has the real one's numbers in its enumerations. What tests need
of them does something; the rest raises NotImplementedError. Every call is a line in the log.

An "engine" is the ONNX file with a header, and ONNX Runtime computes it: numbers are right, times
mean nothing. Set by the environment:

    RECORDING_API    the description to be
    RECORDING_LOG    file that each call is appended to
    RECORDING_HIDES  comma-separated members to be without: ICudaEngine.num_io_tensors,...
    RECORDING_FAILS  what goes wrong: parse, build, load, context, infer
"""

import ctypes
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort

API = json.loads(Path(os.environ["RECORDING_API"]).read_text())
HIDDEN = set(filter(None, os.environ.get("RECORDING_HIDES", "").split(",")))
FAILS = os.environ.get("RECORDING_FAILS", "")
__version__ = API["version"]
MAJOR = int(__version__.partition(".")[0])
TYPED = API["classes"]["NetworkDefinitionCreationFlag"].get("STRONGLY_TYPED", {}).get("value", 0)
MAGIC = b"RECORDING OF TENSORRT "
TYPES = {
    "tensor(float)": ("FLOAT", "float32"),
    "tensor(float16)": ("HALF", "float16"),
    "tensor(int8)": ("INT8", "int8"),
    "tensor(int32)": ("INT32", "int32"),
    "tensor(int64)": ("INT64", "int64"),
    "tensor(bool)": ("BOOL", "bool"),
}
PARSER_ERROR = {
    "node": 3,
    "node_name": "conv3",
    "node_operator": "Conv",
    "desc": "Assertion failed:\n scale is missing",
}


def record(text):
    with Path(os.environ["RECORDING_LOG"]).open("a") as log:
        log.write(text + "\n")


def told(value):
    """How an argument stands in the log; addresses differ from run to run."""
    if isinstance(value, int) and value > 1 << 40:
        return "address"
    if isinstance(value, bool | int | str):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(told, value)) + "]"
    return value.name if isinstance(value, Value) else type(value).__name__


def bound(cls, name, calls, args, kwargs):
    """The arguments by name; TypeError where no overload of the real one takes them."""
    for parameters in calls:
        names = [parameter.rstrip("=") for parameter in parameters]
        given = dict(zip(names, args, strict=False)) | kwargs
        needed = {parameter for parameter in parameters if not parameter.endswith("=")}
        if len(args) <= len(names) and needed <= set(given) <= set(names):
            return given
    raise TypeError(f"{cls}.{name}(): incompatible function arguments")


def method(cls, name, calls):
    def call(self, *args, **kwargs):
        given = bound(cls, name, calls, args, kwargs)
        if not name.startswith("__") or name == "__init__":
            record(" ".join([f"{cls}.{name}", *map(told, given.values())]))
        does = globals().get(f"{cls}_{name.strip('_')}")
        if does is None and name != "__init__":
            raise NotImplementedError(f"the recording does not do {cls}.{name}")
        return does(self, **given) if does else None

    return call


def attribute(cls, name, writable):
    def get(self):
        does = globals().get(f"{cls}_{name}")
        if does is None and name not in self._state:
            raise NotImplementedError(f"the recording does not have {cls}.{name}")
        return does(self) if does else self._state[name]

    def put(self, value):
        record(f"{cls}.{name} = {told(value)}")
        self._state[name] = value

    return property(get, put if writable else None)


class Value:
    """A value of an enumeration."""

    __slots__ = ("name", "value")

    def __init__(self, name, value):
        self.name, self.value = name, value

    def __int__(self):
        return self.value


def make(cls, members):
    """A class with those members, and, as pybind11's, no place for others."""
    base = bytes if "__buffer__" in members else object
    space = {} if base is bytes else {"__slots__": ("_state",), "__new__": new}
    for name, member in members.items():
        if f"{cls}.{name}" in HIDDEN or name == "__buffer__":
            continue
        if "calls" in member and base is object:
            space[name] = method(cls, name, member["calls"])
        elif "type" in member and "value" not in members:
            space[name] = attribute(cls, name, member["writable"])
        elif "value" in member:
            space[name] = Value(name, member["value"])
    return type(cls, (base,), space)


def new(cls, *args, **kwargs):
    self = object.__new__(cls)
    self._state = {}
    return self


for _name, _members in API["classes"].items():
    globals()[_name] = make(_name, _members)
ILogger = globals()["ILogger"]
ILogger.Severity = globals().pop("Severity")


def instance(cls, **state):
    made = new(globals()[cls])
    made._state = state
    return made


def error(logger, text):
    logger.log(ILogger.Severity.ERROR, text)


# What the members do: CLASS_member(self, its parameters by name).


def ILogger_init(self):
    self._state["made"] = True


def Dims_init(self, shape=()):
    self._state["shape"] = list(shape)


def Dims_len(self):
    return len(self._state["shape"])


def Dims_getitem(self, arg0):
    return self._state["shape"][arg0]


def dims(shape):
    return instance("Dims", shape=list(shape))


def numbers(given):
    return [given[index] for index in range(len(given))]


def needs_logger(logger):
    # pybind11 says so when a Python subclass forgets it.
    if not logger._state.get("made"):
        raise TypeError("ILogger.__init__() must be called when overriding __init__")
    return logger


def Builder_init(self, logger):
    self._state["logger"] = needs_logger(logger)


def Builder_create_network(self, flags=0):
    return instance("INetworkDefinition", flags=flags, onnx=None)


def Builder_create_builder_config(self):
    verbosity = globals()["ProfilingVerbosity"].LAYER_NAMES_ONLY
    state = {"flags": set(), "profiles": [], "cache": None, "profiling_verbosity": verbosity}
    return instance("IBuilderConfig", **state)


def Builder_create_optimization_profile(self):
    return instance("IOptimizationProfile", shapes={})


def Builder_build_serialized_network(self, network, config):
    logger, onnx = self._state["logger"], network._state["onnx"]
    if FAILS == "build":
        error(logger, "Error Code 10:\n Could not find any implementation for node conv3")
        error(logger, "Error Code 2: the consequence")
        return None
    # Types as the real one insists on them.
    typed = MAJOR > 10 or (MAJOR == 10 and network._state["flags"] >> TYPED & 1)
    flags = config._state["flags"]
    if typed and flags & {"INT8", "FP16"}:
        error(logger, "a strongly typed network takes no precision flags")
        return None
    if not typed and b"QuantizeLinear" in onnx and "INT8" not in flags:
        error(logger, "Q/DQ layers need the INT8 flag")
        return None
    free = {tensor.name for tensor in session_of(onnx).get_inputs() if -1 in free_shape(tensor)}
    shapes = config._state["profiles"][0]._state["shapes"] if config._state["profiles"] else {}
    if free - set(shapes):
        error(logger, "Network has dynamic or shape inputs, but no optimization profile")
        return None
    logger.log(
        ILogger.Severity.WARNING,
        "Tactic Device request: 4229MB Available: 2658MB."
        " Device memory is insufficient to use tactic.",
    )
    head = {"version": __version__, "shapes": shapes}
    return globals()["IHostMemory"](MAGIC + json.dumps(head).encode() + b"\n" + onnx)


def session_of(onnx):
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def free_shape(tensor):
    return [size if isinstance(size, int) else -1 for size in tensor.shape]


def INetworkDefinition_num_inputs(self):
    return len(session_of(self._state["onnx"]).get_inputs())


def INetworkDefinition_get_input(self, index):
    tensor = session_of(self._state["onnx"]).get_inputs()[index]
    return instance("ITensor", name=tensor.name, shape=dims(free_shape(tensor)))


def OnnxParser_init(self, network, logger):
    self._state.update(network=network, logger=needs_logger(logger), errors=[])


def OnnxParser_parse_from_file(self, model):
    network = self._state["network"]
    implicit = "EXPLICIT_BATCH" in API["classes"]["NetworkDefinitionCreationFlag"] and MAJOR < 10
    if implicit and not network._state["flags"] & 1:
        error(self._state["logger"], "the network must be made with EXPLICIT_BATCH")
        return False
    if FAILS == "parse":
        self._state["errors"] = [instance("ParserError")]
        error(self._state["logger"], "In node 3 (parseNode): UNSUPPORTED_NODE")
        return False
    network._state["onnx"] = Path(model).read_bytes()
    return True


def OnnxParser_num_errors(self):
    return len(self._state["errors"])


def OnnxParser_get_error(self, index):
    return self._state["errors"][index]


def ParserError_node(self):
    return PARSER_ERROR["node"]


def ParserError_node_name(self):
    return PARSER_ERROR["node_name"]


def ParserError_node_operator(self):
    return PARSER_ERROR["node_operator"]


def ParserError_desc(self):
    return PARSER_ERROR["desc"]


def IBuilderConfig_set_flag(self, flag):
    self._state["flags"].add(flag.name)


def IBuilderConfig_set_memory_pool_limit(self, pool, pool_size):
    pass


def IBuilderConfig_add_optimization_profile(self, profile):
    self._state["profiles"].append(profile)
    return len(self._state["profiles"]) - 1


def IBuilderConfig_create_timing_cache(self, serialized_timing_cache):
    return instance("ITimingCache", content=bytes(serialized_timing_cache))


def IBuilderConfig_set_timing_cache(self, cache, ignore_mismatch):
    ours = b"timings " + __version__.encode()
    fits = cache._state["content"] in (b"", ours)
    if fits or ignore_mismatch:
        self._state["cache"] = instance("ITimingCache", content=ours)
    return fits


def IBuilderConfig_get_timing_cache(self):
    return self._state["cache"]


def ITimingCache_serialize(self):
    return globals()["IHostMemory"](self._state["content"])


def IOptimizationProfile_set_shape(self, input, min, opt, max):
    self._state["shapes"][input] = numbers(opt)


def Runtime_init(self, logger):
    self._state["logger"] = needs_logger(logger)


def Runtime_deserialize_cuda_engine(self, serialized_engine):
    blob = bytes(serialized_engine)
    head, _, onnx = blob.removeprefix(MAGIC).partition(b"\n")
    if FAILS == "load" or not blob.startswith(MAGIC):
        error(self._state["logger"], "Serialization assertion magicTag failed")
        return None
    if json.loads(head)["version"] != __version__:
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
    modes = globals()["TensorIOMode"]
    return modes.INPUT if io(self, name)[1] else modes.OUTPUT


def ICudaEngine_get_tensor_shape(self, name):
    return dims(free_shape(io(self, name)[0]))


def ICudaEngine_get_tensor_profile_shape(self, name, profile_index):
    return [dims(self._state["shapes"][name])] * 3


def ICudaEngine_get_tensor_dtype(self, name):
    return getattr(globals()["DataType"], TYPES[io(self, name)[0].type][0])


def ICudaEngine_num_bindings(self):
    return len(ios(self))


def ICudaEngine_get_binding_name(self, index):
    return ios(self)[index][0].name


def ICudaEngine_binding_is_input(self, index):
    return ios(self)[index][1]


def ICudaEngine_get_binding_shape(self, index):
    return dims(free_shape(ios(self)[index][0]))


def ICudaEngine_get_binding_dtype(self, index):
    return getattr(globals()["DataType"], TYPES[ios(self)[index][0].type][0])


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
    return True
