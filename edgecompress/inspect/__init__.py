"""What an artifact really is and really runs: its tensors, its kernels, its float leftovers."""

from edgecompress.inspect.inspection import (
    LayerType,
    between_compute,
    inspect_onnx,
    layer_dtypes,
)
from edgecompress.inspect.metadata import (
    KEEP_FLOAT_KEY,
    KEPT_BECAUSE_KEY,
    LABELS_KEY,
    LAYOUT_KEY,
    LINEAGE_KEY,
    MAX_BYTES,
)
from edgecompress.inspect.onnx_file import describe
from edgecompress.inspect.tensorrt import float_nodes, inspect_tensorrt
from edgecompress.inspect.tensorrt_rules import Violation, tensorrt_violations
from edgecompress.inspect.tflite import inspect_tflite
from edgecompress.inspect.tflite_file import describe_tflite

__all__ = [
    "KEEP_FLOAT_KEY",
    "KEPT_BECAUSE_KEY",
    "LABELS_KEY",
    "LAYOUT_KEY",
    "LINEAGE_KEY",
    "MAX_BYTES",
    "LayerType",
    "Violation",
    "between_compute",
    "describe",
    "describe_tflite",
    "float_nodes",
    "inspect_onnx",
    "inspect_tensorrt",
    "inspect_tflite",
    "layer_dtypes",
    "tensorrt_violations",
]
