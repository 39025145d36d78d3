"""Which kind of inputs and outputs an engine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tensorrt_bindings import BoundIo
from .tensorrt_names import NamedIo

if TYPE_CHECKING:
    import tensorrt as trt

    from .tensorrt_io import EngineIo


def open_io(engine: trt.ICudaEngine, context: trt.IExecutionContext) -> EngineIo:
    """Fixes the shapes of the context.

    Raises Failure for a type that numpy lacks, and for a shape that depends on data.
    """
    if hasattr(engine, "num_io_tensors"):
        return NamedIo(engine, context)
    return BoundIo(engine, context)
