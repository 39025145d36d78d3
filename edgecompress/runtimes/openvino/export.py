"""ONNX for OpenVINO: one self-contained file, Q/DQ round every int8 operator."""

from dataclasses import replace
from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.onnx.document import read_torch, write
from edgecompress.formats.onnx.levels import take_levels
from edgecompress.runtimes.openvino.passes import run_passes

# Its ONNX frontend knows both since 2024.0; torch.onnx writes 18 and later.
OPSET = 20
IR_VERSION = 9


def export(model: Exportable, path: Path) -> Artifact:
    """torch.export -> torch.onnx -> the passes of `passes` -> checker -> file, of batch size 1.

    Raises:
        ModelError: as of `read_torch` and `write`.

    """
    # Kernels for fixed shapes are faster, and reshape() on the board would cost int8 layers.
    model = replace(model, free_batch=False)
    document = read_torch(model, OPSET)
    if model.scheme is not None:
        run_passes(document, model.layers)
    model = take_levels(document, model)
    return write(document, model, IR_VERSION, path)
