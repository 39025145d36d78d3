"""A model, and what its loss follows from, as bytes for another process."""

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule

from edgecompress.compress.duplicate import duplicate
from edgecompress.spec.deploy import DistillSpec


@dataclass(frozen=True)
class Lessons:
    """What another process needs to train in one epoch."""

    name: str
    model: nn.Module
    hooks: tuple[Callable[..., Any], ...]
    """Called before forward() of a captured graph, which pickles without them."""
    teacher: nn.Module | None
    distill: DistillSpec | None
    label_smoothing: float
    precision: torch.dtype
    """As `Hardware` has it: that of the main process."""
    seed: int
    epoch: int


def packed(lessons: Lessons) -> bytes:
    """Raises whatever pickle does where the model, or its teacher, cannot be sent."""
    buffer = io.BytesIO()
    torch.save(lessons, buffer)
    return buffer.getvalue()


def unpacked(content: bytes) -> Lessons:
    """What the main process of the same command packed, on the CPU."""
    lessons: Lessons = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    for hook in lessons.hooks:
        lessons.model.register_forward_pre_hook(hook)
    return lessons


def sendable(model: nn.Module) -> tuple[nn.Module, tuple[Callable[..., Any], ...]]:
    """A model that pickles, and the hooks that it then lacks."""
    if not isinstance(model, GraphModule):
        return duplicate(model), ()
    twin = copy.copy(model)  # without the train() and eval() that torch forbids a prepared graph
    # A graph is traced again from its code, and not by the tracer that it once came from.
    twin.__dict__["_tracer_cls"] = None
    return twin, tuple(model._forward_pre_hooks.values())
