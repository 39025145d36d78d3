"""From a user's module to a graph of ATen operators, by torch.export."""

import contextlib
import io
import logging
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.fx import GraphModule

from edgecompress.compress.fx import ATEN
from edgecompress.errors import ModelError

_TRAINING_ARGUMENT = {  # operator -> position of its `training` argument
    ATEN.dropout.default: 2,
    ATEN.dropout_.default: 2,
    ATEN.feature_dropout.default: 2,
}
BATCH = "batch"


def dynamic_batch(example_inputs: tuple[Tensor, ...]) -> tuple[object, ...]:
    """`dynamic_shapes` that leave dimension 0 of every input free, as one common dimension."""
    batch = Dim(BATCH)
    return tuple({0: batch} if x.dim() else {} for x in example_inputs)


def doubled(example_inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Two samples: torch.export takes a dimension of size 1 for a constant."""
    return tuple(torch.cat([x, x]) if x.dim() else x for x in example_inputs)


def capture(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> tuple[GraphModule, bool]:
    """Trace `model` in eval mode; parameters are copied, the model is left as it was.

    Returns:
        The graph, and whether its batch dimension is free. Where the model itself fixes the
        batch size (a reshape with a constant, for one) the graph has that of the example.

    Raises:
        ModelError: it cannot be traced at all.

    """
    was_training = model.training
    model.eval()
    try:
        with _quiet_torch():
            try:
                shapes = dynamic_batch(example_inputs)
                if _takes_varargs(model):
                    shapes = (shapes,)
                program = torch.export.export(model, doubled(example_inputs), dynamic_shapes=shapes)
                return _own(program.module()), True
            except Exception:
                # Any failure here may be due to the free batch alone; the second try tells.
                program = torch.export.export(model, example_inputs)
                return _own(program.module()), False
    except Exception as error:
        # torch.export runs the user's forward(), which may raise anything.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"{type(model).__name__}: torch.export cannot trace it: {reason[0]};"
            " remove data-dependent Python control flow from forward()"
        ) from error
    finally:
        model.train(was_training)


def set_training(model: nn.Module, training: bool) -> None:
    """Like `model.train(training)`, for exported graphs too, where dropout has the mode as
    an argument.
    """
    if not isinstance(model, GraphModule):
        model.train(training)
        return
    for module in model.modules():
        module.training = training  # prepared graphs refuse train() itself
    for node in model.graph.nodes:
        position = _TRAINING_ARGUMENT.get(node.target)
        if position is not None:
            node.update_arg(position, training)
    model.recompile()


def _own(module: nn.Module) -> GraphModule:
    """Drop the input guards of torch.export: they compare shapes on every call."""
    assert isinstance(module, GraphModule)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and "guard" in str(node.target):
            module.graph.erase_node(node)
    module.recompile()
    return module


def _takes_varargs(model: nn.Module) -> bool:
    return model.forward.__code__.co_flags & 0x04 != 0


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
