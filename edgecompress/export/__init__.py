"""One file per format, one table from runtime to exporter."""

from importlib import import_module
from typing import cast

from edgecompress.errors import SpecError
from edgecompress.export.base import Exportable, Exporter

_EXPORTERS = {
    "onnxruntime": "edgecompress.export.onnx:OnnxExporter",
    "tensorrt": "edgecompress.export.tensorrt:TensorrtExporter",
    "litert": "edgecompress.export.litert:LitertExporter",
}


def exporter(runtime: str) -> Exporter:
    """The exporter whose files `runtime` runs.

    Raises:
        SpecError: there is none; the known ones are listed.

    """
    if runtime not in _EXPORTERS:
        raise SpecError(
            f"runtime.name: nothing exports for '{runtime}' yet; known: {', '.join(_EXPORTERS)}"
        )
    module, name = _EXPORTERS[runtime].split(":")
    return cast(Exporter, getattr(import_module(module), name)())


__all__ = ["Exportable", "Exporter", "exporter"]
