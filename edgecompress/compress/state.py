"""What forward() keeps from one run to the next, which a file does not.

What it only writes down (a counter, statistics) is left out. What comes back in its outputs is
refused by name, unless it has settled: a weight that is clamped in every run is the clamped one.
"""

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils._pytree import tree_leaves

from edgecompress.compress.fx import ATEN
from edgecompress.errors import ModelError

STATE = {InputKind.BUFFER, InputKind.PARAMETER, InputKind.CONSTANT_TENSOR}
_SHAPE_ONLY = {
    ATEN.full_like.default,
    ATEN.zeros_like.default,
    ATEN.ones_like.default,
    ATEN.empty_like.default,
    ATEN.new_full.default,
    ATEN.new_zeros.default,
    ATEN.new_ones.default,
    ATEN.new_empty.default,
    ATEN.sym_size.int,
}
"""Operators that read no number of what they are given."""


def see_one_sample(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> dict[int, str]:
    """Run `model` on a sample before it is traced; buffers are as before.

    A module may keep what it computed for the last shape that it saw (a detector its anchors) and
    compare the next one with it. A batch that is traced is larger than one: a last one of one says
    nothing about it, and one of any other size would exclude that size.

    Returns:
        Tensors in attributes of modules that every run replaces: address of the memory -> name.

    """
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    held: list[dict[int, str]] = []
    with torch.no_grad():
        for _ in range(2):
            model(*(x.clone() for x in example_inputs))
            held.append(_attributes(model))
        for buffer, value in before:
            buffer.copy_(value)
    return {place: name for place, name in held[1].items() if place not in held[0]}


def _attributes(model: nn.Module) -> dict[int, str]:
    """Tensors that are neither parameters nor buffers: address -> name."""
    return {
        leaf.untyped_storage().data_ptr(): f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if name not in ("_parameters", "_buffers", "_modules")
        for leaf in tree_leaves(value)
        if isinstance(leaf, Tensor)
    }


def refuse_kept(program: ExportedProgram, replaced: dict[int, str], owner: str) -> None:
    """Raises ModelError where the program reads a tensor that every run replaces."""
    for value in program.constants.values():
        place = value.untyped_storage().data_ptr() if isinstance(value, Tensor) else None
        if place in replaced:
            raise ModelError(keeps(owner, replaced[place]))


def forget_writes(program: ExportedProgram, owner: str) -> None:
    """Leave of a functional program's outputs those of the user, in place.

    Raises:
        ModelError: one depends on what earlier runs have written.

    """
    signature, output = program.graph_signature, program.graph.output_node()
    results = output.args[0]
    assert isinstance(results, (tuple, list))
    given = {spec.target: spec.arg.name for spec in signature.input_specs if spec.kind in STATE}
    pairs = list(zip(signature.output_specs, results, strict=True))
    kept = [(spec, node) for spec, node in pairs if spec.kind is OutputKind.USER_OUTPUT]
    read = {node.name for node in _behind([node for _, node in kept])}
    written = {given[spec.target]: node for spec, node in pairs if given.get(spec.target) in read}
    if written and not _settles(program, written):
        name = next(spec.target for spec, _ in pairs if given.get(spec.target) in written)
        raise ModelError(keeps(owner, str(name)))
    output.args = (tuple(node for _, node in kept),)
    signature.output_specs = [spec for spec, _ in kept]


def _behind(results: list[object]) -> set[Node]:
    """What these are computed of, themselves included."""
    seen: set[Node] = set()
    waiting = [result for result in results if isinstance(result, Node)]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += () if node.target in _SHAPE_ONLY else node.all_input_nodes
    return seen


def _settles(program: ExportedProgram, written: dict[str, Node]) -> bool:
    """Whether a second run would write again what the first has written, whatever its inputs."""
    needed = _behind(list(written.values()))
    stored = {
        spec.arg.name: program.state_dict.get(spec.target, program.constants.get(spec.target))
        for spec in program.graph_signature.input_specs
        if spec.kind in STATE
    }
    first = _run(program, needed, stored)
    if first is None:
        return False
    then = stored | {name: first[node] for name, node in written.items()}
    second = _run(program, needed, then)
    return second is not None and all(
        torch.allclose(first[node], second[node], rtol=1e-5) for node in written.values()
    )


def _run(
    program: ExportedProgram, needed: set[Node], given: dict[str, Tensor]
) -> dict[Node, Tensor] | None:
    """The values of these nodes; None where they depend on an input."""
    values: dict[Node, Tensor] = {}
    for node in program.graph.nodes:
        if node not in needed:
            continue
        if node.op == "placeholder" and node.name in given:
            values[node] = given[node.name].detach()
        elif node.op == "call_function" and node.target not in _SHAPE_ONLY:
            args, kwargs = map_arg((node.args, dict(node.kwargs)), values.get)
            values[node] = node.target(*args, **kwargs)
        else:
            return None
    return values


def keeps(owner: str, name: str) -> str:
    return (
        f"{owner}: forward() changes '{name}' and computes with it in the next run, but a file"
        " keeps nothing from run to run; make it an input and an output of forward()"
    )
