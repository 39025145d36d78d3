"""ONNX for ONNX Runtime: one self-contained file, Q/DQ round every int8 operator."""

from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.export.base import Exportable
from edgecompress.export.onnx_document import is_quantised, read_torch, write
from edgecompress.export.onnx_passes import run_passes

# What onnxruntime 1.17 reads, the oldest that the targets admit.
OPSET = 20
IR_VERSION = 9


class OnnxExporter:
    """torch.export -> torch.onnx -> the passes of `onnx_passes` -> checker -> file."""

    suffix = ".onnx"
    takes_integers = True

    def export(self, model: Exportable, path: Path) -> Artifact:
        document = read_torch(model, OPSET)
        if is_quantised(document):
            unsigned = model.target.quantization.activations.dtype == "uint8"
            run_passes(document, model.layers, unsigned)
        return write(document, model, IR_VERSION, path)
