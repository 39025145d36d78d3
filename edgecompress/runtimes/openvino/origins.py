"""Finds the operators of the exported file that became one primitive of OpenVINO.

A primitive has the names of all that was fused into it. What OpenVINO makes of one operator is
called after it, with a suffix; the last part has the operator's own name, or its output's.
"""

import re

import onnx_ir as ir

from edgecompress.formats.onnx.values import all_nodes
from edgecompress.runtimes.openvino.executed import Part

_SUFFIX = re.compile(r"/(WithoutBiases|Dequantization\w*|sink_port_\d+)$")


class Origins:
    """The exported file, indexed by names."""

    def __init__(self, graph: ir.Graph) -> None:
        nodes = list(all_nodes(graph))
        self._by_output = {value.name: node for node in nodes for value in node.outputs}
        self._by_name = {node.name: node for node in nodes if node.name}

    def find(self, node: Part) -> tuple[ir.Node, ...]:
        """In the order in which they are computed, each once."""
        found: dict[ir.Node, None] = {}
        for name in _names(node.origins):
            origin = self._by_name.get(name) or self._by_output.get(name)
            if origin is not None:
                found[origin] = None
        return tuple(found)


def _names(origins: str) -> list[str]:
    """Those between commas, without the suffixes, which may be several."""
    names = []
    for part in origins.split(","):
        name, shorter = part, _SUFFIX.sub("", part)
        while shorter != name:
            name, shorter = shorter, _SUFFIX.sub("", shorter)
        names.append(name)
    return names
