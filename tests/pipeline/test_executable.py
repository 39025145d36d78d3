"""What torch puts out on the way to a file."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from edgecompress.pipeline.executable import _outputs


def test_executions_drawn_from_in_turn_leave_gradients_on() -> None:
    # As the stage 'evaluate' does: another target's training may follow in this process.
    batches = [(torch.ones(1, 2), None) for _ in range(2)]
    job: Any = SimpleNamespace(task=SimpleNamespace(eval_data=lambda: iter(batches)))
    first, second = (_outputs(job, nn.Linear(2, 2), True) for _ in range(2))
    for outputs in (first, second, first, second):
        next(outputs)
    assert list(first) == list(second) == []
    assert torch.is_grad_enabled()
