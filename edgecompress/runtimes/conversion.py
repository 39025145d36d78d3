"""What is alike where a converter of a runtime's own turns a torch graph into a file."""

import functools
import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch._export.utils as torch_export
from torch import Tensor, nn
from torch.fx import GraphModule

from edgecompress.compress.graphs import CONTROL_FLOW, fold_constants, graph_of, program_of
from edgecompress.errors import ModelError


@contextmanager
def silent() -> Iterator[None]:
    """Converters log and warn of their own parts as they are imported."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def straight_graph(
    module: nn.Module, example_inputs: tuple[Tensor, ...], runtime: str
) -> GraphModule:
    """The operators of `module` for one sample, without those that give the same at every call.

    Raises:
        ModelError: it cannot be traced, or has control flow: the runtime's files are one straight
            line.

    """
    try:
        graph = graph_of(program_of(module, example_inputs, free_batch=False))
    except ModelError as error:
        raise ModelError(f"{runtime}: {error}") from error
    fold_constants(graph)
    for node in graph.graph.nodes:
        if node.target in CONTROL_FLOW:
            raise ModelError(
                f"{runtime}: the model has control flow ({CONTROL_FLOW[node.target]}), which its"
                " targets do not run; make forward() one straight line"
            )
    return graph


def ask_once_for_operators() -> None:
    """PyTorch asks its dispatcher for all operators there are, some 30 times whenever a graph is
    decomposed, because there may be new ones; here no one makes any. A quarter of a small
    conversion's time. For a process that ends with the conversion.
    """
    found = getattr(torch_export, "_materialize_cpp_cia_ops", None)
    if found is not None:
        torch_export._materialize_cpp_cia_ops = functools.cache(found)


def first_line(error: BaseException) -> str:
    """In whole words."""
    lines = str(error).strip().splitlines()
    return textwrap.shorten(lines[0], 200, placeholder=" ..") if lines else type(error).__name__
