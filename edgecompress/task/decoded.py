"""A task's decoder, applied where it is no part of what ran."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from edgecompress.errors import TaskError
from edgecompress.task.base import Task
from edgecompress.task.guard import user_code


def decoder_of(task: Task) -> nn.Module | None:
    """What `task.decoder()` gives, in eval mode.

    Raises:
        TaskError: it gives something else than a module.

    """
    decoder: object = task.decoder()
    if decoder is None:
        return None
    if not isinstance(decoder, nn.Module):
        raise TaskError(
            f"{type(task).__name__}.decoder(): gives {type(decoder).__name__}, not a"
            " torch.nn.Module; return one, or None"
        )
    return decoder.eval()


def decoding(task: Task) -> Callable[[Any], Any]:
    """Makes of what the task's model returns what `task.update` takes. A TaskError in it names the
    decoder.
    """
    decoder = decoder_of(task)
    if decoder is None:
        return lambda outputs: outputs

    def decoded(outputs: Any) -> Any:
        with torch.no_grad(), user_code(f"{type(task).__name__}.decoder() on the model's outputs"):
            return decoder(outputs)

    return decoded
