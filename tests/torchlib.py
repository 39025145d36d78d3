"""torch.onnx parses the source of its 500 translations anew for every export: half a second, of the
two that a small model takes, and tests export hundreds.
"""

from functools import cache

from torch.onnx._internal.exporter._registration import ONNXRegistry


def parse_once() -> None:
    """From here on this process parses them once for each opset."""
    parse = ONNXRegistry.from_torchlib
    if not hasattr(parse, "cache_info"):
        ONNXRegistry.from_torchlib = staticmethod(cache(parse))
