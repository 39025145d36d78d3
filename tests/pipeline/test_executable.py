"""What torch puts out on the way to a file."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from edgecompress.pipeline.executable import Executable, _outputs, executions, float_model


def test_executions_drawn_from_in_turn_leave_gradients_on() -> None:
    # As the stage 'evaluate' does: another target's training may follow in this process.
    batches = [(torch.ones(1, 2), None) for _ in range(2)]
    job: Any = SimpleNamespace(task=SimpleNamespace(eval_data=lambda: iter(batches)))
    first, second = (_outputs(job, nn.Linear(2, 2), True) for _ in range(2))
    for outputs in (first, second, first, second):
        next(outputs)
    assert list(first) == list(second) == []
    assert torch.is_grad_enabled()


def job_of(batches: int) -> Any:
    drawn = [(torch.ones(1, 2), None) for _ in range(batches)]
    task = SimpleNamespace(eval_data=lambda: iter(drawn))
    return SimpleNamespace(task=task, example_inputs=(torch.ones(1, 2),))


def executable(**more: Any) -> Executable:
    return Executable("pruned", "key", (), lambda: nn.Linear(2, 2), dict, lambda: True, **more)


def test_a_float_model_has_one_execution_besides_the_original() -> None:
    found = executions(job_of(2), executable(), None)
    assert [(each.name, len(list(each.outputs))) for each in found.before] == [("torch, pruned", 2)]
    assert (found.unquantized, found.original) == (None, None)
    original: Any = SimpleNamespace(model=nn.Linear(2, 2), key="first")
    derived = executable(original=original)
    assert derived.original_key == "first"
    found = executions(job_of(2), derived, None)
    assert found.original is not None
    assert found.original.name == "the original, in float"


def test_an_int8_model_was_trained_then_converted_then_run_by_reference_kernels() -> None:
    model = executable(trained=lambda: nn.Linear(2, 2))
    names = ["torch, fake-quantised", "torch, pruned"]
    found = executions(job_of(1), model, None)
    assert [each.name for each in found.before] == names
    found = executions(job_of(1), model, lambda batches: iter([[b[0].numpy()] for b in batches]))
    assert [each.name for each in found.before] == [*names, "the runtime's reference kernels"]
    # Only they may see fewer samples than the file.
    assert [each.may_end for each in found.before] == [False, False, True]
    assert found.unquantized is not None
    assert found.unquantized.name == "torch, not quantised"


def test_whether_a_float_model_takes_any_batch_is_seen_by_tracing_it() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(1, 2) + 1

    for model, free in ((nn.Linear(2, 2), True), (Fixed(), False)):
        point: Any = SimpleNamespace(name="original", key="k", model=model.eval(), two_four=())
        assert float_model(job_of(1), point).free_batch() == free
