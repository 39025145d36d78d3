"""Logger, builder, network, parser: each function is what CLASS_member does."""

import json
from pathlib import Path

from tensorrt._recorder import API, CLASSES, FAILS, VERSION, instance
from tensorrt._shared import MAGIC, dims, error, free_shape, needs_logger, numbers, session_of

MAJOR = int(VERSION.partition(".")[0])
TYPED = API["classes"]["NetworkDefinitionCreationFlag"].get("STRONGLY_TYPED", {}).get("value", 0)
PARSER_ERROR = {
    "node": 3,
    "node_name": "conv3",
    "node_operator": "Conv",
    "desc": "Assertion failed:\n scale is missing",
}


def ILogger_init(self):
    self._state["made"] = True


def Dims_init(self, shape=()):
    self._state["shape"] = list(shape)


def Dims_len(self):
    return len(self._state["shape"])


def Dims_getitem(self, arg0):
    return self._state["shape"][arg0]


def Builder_init(self, logger):
    self._state["logger"] = needs_logger(logger)


def Builder_create_network(self, flags=0):
    return instance("INetworkDefinition", flags=flags, onnx=None)


def Builder_create_builder_config(self):
    verbosity = CLASSES["ProfilingVerbosity"].LAYER_NAMES_ONLY
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
        CLASSES["ILogger"].Severity.WARNING,
        "Tactic Device request: 4229MB Available: 2658MB."
        " Device memory is insufficient to use tactic.",
    )
    head = {"version": VERSION, "shapes": shapes}
    return CLASSES["IHostMemory"](MAGIC + json.dumps(head).encode() + b"\n" + onnx)


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
    ours = b"timings " + VERSION.encode()
    fits = cache._state["content"] in (b"", ours)
    if fits or ignore_mismatch:
        self._state["cache"] = instance("ITimingCache", content=ours)
    return fits


def IBuilderConfig_get_timing_cache(self):
    return self._state["cache"]


def ITimingCache_serialize(self):
    return CLASSES["IHostMemory"](self._state["content"])


def IOptimizationProfile_set_shape(self, input, min, opt, max):
    self._state["shapes"][input] = numbers(opt)
