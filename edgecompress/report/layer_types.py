"""What a file's operators say of the layers of the user's model."""

from typing import NamedTuple

from edgecompress.formats.onnx.kinds import CONVERSIONS, MOVES
from edgecompress.spec.measurement import Inspection, Op


class LayerType(NamedTuple):
    """What one module of the torch model became."""

    dtype: str
    reason: str | None


def between_compute(inspection: Inspection) -> tuple[Op, ...]:
    """Clip, QuantizeLinear and DequantizeLinear nodes with compute nodes on both sides."""
    return tuple(op for op in inspection.ops if op.between_compute)


def layer_dtypes(inspection: Inspection) -> dict[str, LayerType]:
    """Type of each torch module by its path, such as 'layer1.0.conv1'.

    A module is int8 when all that it computes is; the nodes that multiply decide where there are
    any. Modules that left no node of their own (a batch norm folded away) are absent.
    """
    modules: dict[str, list[Op]] = {}
    for op in inspection.ops:
        if op.module is not None and op.op_type not in MOVES | CONVERSIONS:
            modules.setdefault(op.module, []).append(op)
    return {module: _layer_type(ops) for module, ops in modules.items()}


def _layer_type(ops: list[Op]) -> LayerType:
    deciding = [op for op in ops if op.macs] or ops
    other = [op for op in deciding if op.dtype != "int8"]
    return LayerType(other[0].dtype, other[0].reason) if other else LayerType("int8", None)
