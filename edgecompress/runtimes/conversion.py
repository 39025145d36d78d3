"""What is alike where a converter of a runtime's own turns a torch graph into a file."""

import functools
import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch._export.utils as torch_export
from torch.fx import GraphModule

from edgecompress.compress.graphs import CONTROL_FLOW
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


def refuse_control_flow(graph: GraphModule, runtime: str) -> None:
    """Raises ModelError: the runtime's files are one straight line."""
    for node in graph.graph.nodes:
        if node.target in CONTROL_FLOW:
            raise ModelError(
                f"{runtime}: the model has control flow ({CONTROL_FLOW[node.target]}), which its"
                " targets do not run; make forward() one straight line"
            )


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
