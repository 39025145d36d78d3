"""ONNX for ONNX Runtime: one self-contained file, Q/DQ round every int8 operator."""

from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.onnx.document import read_torch, write
from edgecompress.formats.onnx.levels import take_levels
from edgecompress.runtimes.onnxruntime.passes import run_passes

# What onnxruntime 1.17 reads, the oldest that the targets admit.
OPSET = 20
IR_VERSION = 9


def export(model: Exportable, path: Path) -> Artifact:
    """torch.export -> torch.onnx -> the passes of `passes` -> checker -> file.

    Raises:
        ModelError: as in `read_torch` and `write`.

    """
    document = read_torch(model, OPSET)
    if model.scheme is not None:
        kernels, trained = model.target.quantization.activations, model.scheme.activations
        run_passes(document, model.layers, shift=kernels.dtype != trained.dtype)
    model = take_levels(document, model)
    return write(document, model, IR_VERSION, path)
