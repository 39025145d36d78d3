"""What OpenVINO's fused primitives hold, which tell only the types of what they read and write.

A "Subgraph" may be a whole MLP or attention. OpenVINO decides in which type each operator computes
before it fuses, and keeps to that; so the same model compiled without fusing tells it, by the names
of the operators.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

FUSED = "Subgraph"
_MULTIPLYING = ("FullyConnected", "MatMul")
"""The primitives that multiply and may be fused."""
_TOLD = ("type", "precision", "outputs", "origins")

Node = Mapping[str, Any]


def add_inside(nodes: Sequence[dict[str, Any]], unfused: Sequence[Node]) -> None:
    """Give each fused primitive that multiplies the list of those it is made of.

    Args:
        nodes: the graph that runs.
        unfused: the same model's, compiled without fusing.

    """
    inside: dict[int, list[dict[str, Any]]] = {}
    fused = [at for at, node in enumerate(nodes) if node["type"] == FUSED]
    for part in unfused:
        names = _names(part)
        # What runs as a primitive of its own is in no other, though one may have a name of it.
        alone = (node for node in nodes if node["type"] == part["type"])
        if any(names & _names(node) for node in alone):
            continue
        common = {at: len(names & _names(nodes[at])) for at in fused}
        most = max(common, key=lambda at: common[at], default=None)
        if most is not None and common[most]:
            inside.setdefault(most, []).append({key: part[key] for key in _TOLD})
    for at, parts in inside.items():
        if any(part["type"] in _MULTIPLYING for part in parts):
            nodes[at]["inside"] = parts


def _names(node: Node) -> set[str]:
    return set(node["origins"].split(",")) - {""}
