"""From a user's module to a graph of ATen operators, by torch.export."""

import contextlib
import inspect
import io
import logging
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from edgecompress.compress.arguments import spell_out
from edgecompress.compress.functional import make_functional
from edgecompress.compress.fx import module_path
from edgecompress.compress.neutral import leave_out_zeros
from edgecompress.compress.regions import inline_regions
from edgecompress.compress.state import refuse_kept, see_one_sample
from edgecompress.errors import ModelError

BATCH = "batch"
_FUNCTION_TRANSFORMS = "torch._functorch.predispatch"
# What torch.export says when the path through forward() depends on values.
_DATA_DEPENDENT = ("data-dependent", "control flow", "guardondata", "unbacked", "nonzero")


def dynamic_batch(example_inputs: tuple[Tensor, ...]) -> tuple[object, ...]:
    """`dynamic_shapes` that leave dimension 0 of every input free, as one common dimension."""
    batch = Dim(BATCH)
    return tuple({0: batch} if x.dim() else {} for x in example_inputs)


def doubled(example_inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Two samples: torch.export takes a dimension of size 1 for a constant."""
    return tuple(torch.cat([x, x]) if x.dim() else x for x in example_inputs)


def capture(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> tuple[GraphModule, bool]:
    """Trace `model` in eval mode; the model is left as it was, and shares its
    parameters and buffers with the graph.

    Returns:
        The graph, and whether its batch dimension is free. Where the model itself fixes the
        batch size (a reshape with a constant, for one) the graph has that of the example.

    Raises:
        ModelError: it cannot be traced at all.

    """
    was_training = model.training
    model.eval()
    try:
        try:
            program = program_of(model, example_inputs, free_batch=True)
            free_batch = True
        except ModelError:
            # Any failure here may be due to the free batch alone; the second try tells.
            program = program_of(model, example_inputs, free_batch=False)
            free_batch = False
        return graph_of(program), free_batch
    finally:
        model.train(was_training)


def program_of(
    model: nn.Module, example_inputs: tuple[Tensor, ...], free_batch: bool
) -> ExportedProgram:
    """One straight line of operators: what torch.export makes of `model`, in the mode that it is
    in, with the regions of its forward() written out.

    Raises:
        ModelError: it cannot be traced so.

    """
    inputs, shapes = example_inputs, None
    if free_batch:
        inputs = doubled(example_inputs)
        shapes = _as_taken(model, dynamic_batch(example_inputs))
    replaced: dict[int, str] = {}
    try:
        if not isinstance(model, GraphModule):
            replaced = see_one_sample(model, example_inputs)
        # Without gradients, because torch refuses some writes where it would have to differentiate.
        with _quiet_torch(), without_fast_paths(), torch.no_grad():
            program = torch.export.export(model, inputs, dynamic_shapes=shapes)
    except Exception as error:
        # torch.export runs the user's forward(), which may raise anything.
        raise ModelError(_untraceable(model, error)) from error
    refuse_kept(program, replaced, type(model).__name__)
    inline_regions(program)
    for node in program.graph_module.graph.nodes:
        if getattr(node.target, "__module__", None) == _FUNCTION_TRANSFORMS:
            raise ModelError(
                f"{module_path(node) or type(model).__name__}: torch.func ({node.name}) cannot be"
                " traced; write forward() for a whole batch, without vmap or grad"
            )
    program = make_functional(program, type(model).__name__)
    spell_out(program)
    return program


def graph_of(program: ExportedProgram) -> GraphModule:
    """The module of a program, without the input guards: they compare shapes on every call."""
    module = program.module()
    assert isinstance(module, GraphModule)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and "guard" in str(node.target):
            module.graph.erase_node(node)
    leave_out_zeros(module)
    module.recompile()
    return module


def _as_taken(model: nn.Module, shapes: tuple[object, ...]) -> tuple[object, ...]:
    """One for each parameter of forward(), as torch.export wants them; *args is one of those."""
    # signature() looks through decorators such as no_grad().
    kinds = [parameter.kind for parameter in inspect.signature(model.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return shapes
    first = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*shapes[:first], shapes[first:]) if len(shapes) > first else shapes


def _untraceable(model: nn.Module, error: Exception) -> str:
    """One line: whose model, what torch.export says, and what to do about it."""
    name = type(model).__name__
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f"{path or name} is"
            return (
                f"{name}: torch.export cannot trace it: {where} a TorchScript module; build the"
                " model from the Python module that it was scripted from, with its state_dict()"
            )
    assigned = re.search(r"attribute: ([\w.]+)\.lifted_tensor", str(error))
    if assigned:
        return (
            f"{name}: torch.export cannot trace it: forward() of {assigned[1]} assigns the data of"
            " a tensor; compute with a new one instead"
        )
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    data_dependent = any(word in str(error).lower() for word in _DATA_DEPENDENT)
    remedy = (
        "remove data-dependent Python control flow from forward()"
        if data_dependent
        else "change that part of forward()"
    )
    return f"{name}: torch.export cannot trace it: {reason}; {remedy}"


@contextlib.contextmanager
def without_fast_paths() -> Iterator[None]:
    """Without gradients nn.MultiheadAttention and nn.TransformerEncoderLayer call one operator that
    does all; written out they can be quantised.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def _quiet_torch() -> Iterator[None]:
    """torch.export prints and logs pages about what it then raises anyway."""
    level = logging.getLogger("torch").level
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.getLogger("torch").setLevel(level)
