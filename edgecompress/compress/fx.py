"""Typed access to the nodes of a captured graph: FX types their arguments as almost anything."""

from typing import cast

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.node import Argument, map_arg

from edgecompress.spec.deploy import SEPARATOR

ATEN = torch.ops.aten
_HIGHER = torch.ops.higher_order
LOOPS = {_HIGHER.while_loop: "while_loop", _HIGHER.scan: "scan"}
CONTROL_FLOW = {**LOOPS, _HIGHER.cond: "cond"}
"""Operators that run graphs of their own."""


def input_of(node: Node, index: int = 0) -> Node:
    """The argument at `index`, which must be another node."""
    argument = node.args[index]
    assert isinstance(argument, Node), f"{node.name}: argument {index} is no tensor"
    return argument


def optional_input(node: Node, index: int) -> Node | None:
    """The argument at `index` where there is one and it is a node."""
    argument = node.args[index] if index < len(node.args) else None
    return argument if isinstance(argument, Node) else None


def call_beside(node: Node, op: OpOverload, *args: Argument) -> Node:
    """A new call before `node`, with its place in the user's model and its type worked out."""
    with node.graph.inserting_before(node):
        new = node.graph.call_function(op, args)
    new.meta["nn_module_stack"] = node.meta.get("nn_module_stack")
    new.meta["val"] = op(*map_arg(args, fake))
    return new


def nodes_in(argument: object) -> list[Node]:
    """The nodes in a list argument, such as that of cat."""
    assert isinstance(argument, (list, tuple))
    return [item for item in argument if isinstance(item, Node)]


def number_at(node: Node, index: int) -> float:
    """The argument at `index`, which must be a number."""
    argument = node.args[index]
    assert isinstance(argument, (int, float)), f"{node.name}: argument {index} is no number"
    return float(argument)


def fake(node: Node) -> Tensor:
    """What torch.export knows of a node's value: shape and type, no content."""
    return cast(Tensor, node.meta["val"])


def is_float(node: Node) -> bool:
    """Whether it stands for a floating-point tensor, or for a list of them."""
    value = node.meta.get("val")
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return isinstance(value, Tensor) and value.is_floating_point()


def only_user(node: Node) -> Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def has_one_reader(holder: Node) -> bool:
    """Whether it stands for a parameter or constant that one node alone reads."""
    same = [n for n in holder.graph.nodes if n.op == "get_attr" and n.target == holder.target]
    return holder.op == "get_attr" and sum(len(n.users) for n in same) == 1


def stored(gm: GraphModule, node: Node) -> Tensor:
    """The parameter or buffer that a get_attr node stands for."""
    value: object = gm
    for part in str(node.target).split("."):
        value = getattr(value, part)
    assert isinstance(value, Tensor), f"{node.target} is not a tensor"
    return value


def is_quantizer(node: Node) -> bool:
    """Whether it is a Q of a converted graph, for a whole tensor or per channel."""
    return "quantized_decomposed.quantize_per" in str(node.target)


def is_dequantizer(node: Node) -> bool:
    """Whether it is a DQ of a converted graph, for a whole tensor or per channel."""
    return "quantized_decomposed.dequantize_per" in str(node.target)


def free_name(gm: GraphModule, wanted: str) -> str:
    """`wanted`, or with a number behind it where the user's model, or an earlier pass over what was
    traced again since, has that already.
    """
    name, number = wanted, 0
    while hasattr(gm, name):
        number += 1
        name = f"{wanted}_{number}"
    return name


def hold(gm: GraphModule, before: Node, wanted: str, value: Tensor) -> Node:
    """A constant, or a parameter, of the graph by a name of its own, to be read before a node."""
    name = free_name(gm, wanted)
    if isinstance(value, nn.Parameter):
        gm.register_parameter(name, value)
    else:
        gm.register_buffer(name, value)
    with gm.graph.inserting_before(before):
        node = gm.graph.get_attr(name)
    node.meta["val"] = value
    return node


def integers_in(argument: object) -> list[int]:
    """The integers in a list argument; one alone counts as such a list."""
    items = argument if isinstance(argument, (list, tuple)) else [argument]
    return [item for item in items if isinstance(item, int)]


def module_path(node: Node) -> str:
    """Dotted path of the user's module that `node` comes from; '' for the model itself."""
    paths = module_paths(node)
    return paths[-1] if paths else ""


def module_paths(node: Node) -> list[str]:
    """Dotted paths of all modules of the user that `node` is in, from the model itself, '', on."""
    stack = node.meta.get("nn_module_stack") or {}
    return [_dotted(str(path)) for path, _ in stack.values()]


def _dotted(path: str) -> str:
    """torch.export writes `L['self'].layer1[0]` for what state_dict calls `layer1.0`."""
    path = path.partition(SEPARATOR)[0].removeprefix("L['self']").replace("L['fn']", "").lstrip(".")
    return path.replace("slice(None, None, None)", "").replace("[", ".").replace("]", "").strip(".")


def tell_name(node: Node, name: str) -> None:
    """Let files know an operator by `name`, as the innermost of the modules that it is in:
    exporters keep no other note of a node.
    """
    stack = dict(node.meta.get("nn_module_stack") or {})
    if SEPARATOR in name:
        node.meta["nn_module_stack"] = {**stack, name: (name, "operator")}
