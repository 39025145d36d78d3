"""The quantised operators of a prepared graph, each under a name that stays.

A unit is what one int8 kernel computes: a convolution with the batch norm and the ReLU after it, an
addition, a softmax. What only moves data has no numbers of its own and is none.
"""

from collections import Counter
from dataclasses import dataclass

from torch import nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import FakeQuantize
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from edgecompress.compress.fx import module_path, only_user
from edgecompress.compress.operators import MOVING
from edgecompress.spec.deploy import SEPARATOR


@dataclass(frozen=True)
class Unit:
    """One quantised operator."""

    name: str
    """As `keep_float` takes it; see `operator_names`."""
    module: str
    """Path of the user's module that calls it; '' is the model itself."""
    kind: str
    """What torch calls the operator: 'conv2d', 'add', 'softmax'."""
    nodes: tuple[Node, ...]
    """From the operator to the activation that it takes in, in order; each feeds only the next."""
    quantizer: Node | None
    """The fake-quantize of what it puts out; None where the consumer's rule takes it as it is."""

    @property
    def last(self) -> Node:
        return self.nodes[-1]


def operator_names(graph: GraphModule) -> dict[Node, str]:
    """A name for every operator of a captured graph; the same before and after it is prepared.

    It is the path of the module that calls the operator, where that calls no other and has no
    modules inside; else the operator's name in the graph stands behind it: 'layer1.0:add_3'.
    """
    paths = {node: module_path(node) for node in graph.graph.nodes if node.op == "call_function"}
    calls = Counter(paths.values())
    outer = {path.rpartition(".")[0] for path in calls if path}
    parents = {"", *outer, *(up for path in outer for up in _above(path))}
    return {
        node: path if calls[path] == 1 and path not in parents else f"{path}{SEPARATOR}{node.name}"
        for node, path in paths.items()
    }


def _above(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def units_of(graph: GraphModule) -> tuple[Unit, ...]:
    """Every quantised operator of a prepared graph, in the order in which they run."""
    modules = dict(graph.named_modules(remove_duplicate=False))
    names = operator_names(graph)
    return tuple(
        _unit(node, names[node], modules)
        for node in graph.graph.nodes
        if node.op == "call_function" and node.target not in MOVING and _reads(node)
    )


def is_quantizer(node: Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(modules.get(str(node.target)), FakeQuantize)


def kind_of(node: Node) -> str:
    """'aten.conv2d.default' is a 'conv2d'."""
    return str(node.target).removeprefix("aten.").partition(".")[0].removesuffix("_")


def _unit(first: Node, name: str, modules: dict[str, nn.Module]) -> Unit:
    nodes = [first]
    while not _writes(nodes[-1]):
        following = only_user(nodes[-1])
        # Those of a unit but the first are annotated, and quantise nothing that they read.
        if following is None or Q_ANNOTATION_KEY not in following.meta or _reads(following):
            break
        nodes.append(following)
    after = [user for user in nodes[-1].users if is_quantizer(user, modules)]
    quantizer = after[0] if after and _writes(nodes[-1]) else None
    return Unit(name, module_path(first), kind_of(first), tuple(nodes), quantizer)


def _reads(node: Node) -> bool:
    annotation = node.meta.get(Q_ANNOTATION_KEY)
    return annotation is not None and bool(annotation.input_qspec_map)


def _writes(node: Node) -> bool:
    annotation = node.meta.get(Q_ANNOTATION_KEY)
    return annotation is not None and annotation.output_qspec is not None
