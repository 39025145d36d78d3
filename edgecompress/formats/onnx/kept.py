"""Which operators of an ONNX file the recipe keeps in float."""

from collections.abc import Mapping

import onnx_ir as ir

from edgecompress.formats.kept import kept_because
from edgecompress.formats.onnx.values import module_of, node_name, operator_of
from edgecompress.spec.deploy import SEPARATOR

_ENDS = (".", "/", "'", SEPARATOR)
"""What may follow a module's or an operator's name within a longer one."""


def why_kept(node: ir.Node, kept: Mapping[str, str]) -> str | None:
    """The reason, where the node is one of these operators or belongs to one of these modules."""
    names = [name for name in (operator_of(node), module_of(node), node_name(node)) if name]
    found = [why for name in names for prefix, why in kept.items() if _starts_with(name, prefix)]
    return kept_because(found[0]) if found else None


def _starts_with(name: str, prefix: str) -> bool:
    """Whole parts only: 'layer.1' covers 'layer.1.conv', and neither 'layer.10' nor 'layer.1_b'."""
    return name == prefix or name.startswith(tuple(prefix + end for end in _ENDS))
