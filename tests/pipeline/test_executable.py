"""What torch puts out on the way to a file."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from edgecompress.pipeline.executable import (
    Executable,
    FloatModel,
    Int8Model,
    _outputs,
    executions,
)
from edgecompress.pipeline.job import Point, QuantizedPoint, Trained


def test_executions_drawn_from_in_turn_leave_gradients_on() -> None:
    # As the stage 'evaluate' does: another target's training may follow in this process.
    batches = [(torch.ones(1, 2), None) for _ in range(2)]
    job: Any = SimpleNamespace(task=SimpleNamespace(eval_data=lambda: iter(batches)), decoder=None)
    first, second = (_outputs(job, nn.Linear(2, 2), True) for _ in range(2))
    for outputs in (first, second, first, second):
        next(outputs)
    assert list(first) == list(second) == []
    assert torch.is_grad_enabled()


def job_of(batches: int) -> Any:
    drawn = [(torch.ones(1, 2), None) for _ in range(batches)]
    task = SimpleNamespace(eval_data=lambda: iter(drawn))
    return SimpleNamespace(task=task, example_inputs=(torch.ones(1, 2),), decoder=None)


class Model(Executable):
    """A net, and maybe the graph that it was converted from."""

    name, free_batch = "pruned", True
    module = nn.Linear(2, 2)

    def __init__(self, original: Any = None, fake_quantized: nn.Module | None = None) -> None:
        super().__init__(Point(self.name, "key", lambda: self.module), original)
        self.trained = fake_quantized

    @property
    def fake_quantized(self) -> nn.Module | None:
        return self.trained


def test_a_float_model_has_one_execution_besides_the_original() -> None:
    found = executions(job_of(2), Model(), None)
    assert [(each.name, len(list(each.outputs))) for each in found.before] == [("torch, pruned", 2)]
    assert (found.unquantized, found.original, found.file_hop) == (None, None, "exported")
    derived = Model(original=Point("original", "first", lambda: nn.Linear(2, 2)))
    assert derived.original_key == "first"
    found = executions(job_of(2), derived, None)
    assert found.original is not None
    assert found.original.name == "the original, in float"


def test_an_int8_model_was_trained_then_converted_then_run_by_reference_kernels() -> None:
    model = Model(fake_quantized=nn.Linear(2, 2))
    ways = [("torch, fake-quantised", None), ("torch, pruned", "converted")]
    found = executions(job_of(1), model, None)
    assert [(each.name, each.hop) for each in found.before] == ways
    assert found.file_hop == "exported"
    found = executions(job_of(1), model, lambda batches: iter([[b[0].numpy()] for b in batches]))
    ways.append(("the runtime's reference kernels", "exported"))
    assert [(each.name, each.hop) for each in found.before] == ways
    assert found.file_hop == "kernels"
    # Only they may see fewer samples than the file.
    assert [each.may_end for each in found.before] == [False, False, True]
    assert found.unquantized is not None
    assert found.unquantized.name == "torch, not quantised"


def test_a_model_is_asked_for_nothing_before_it_is_needed() -> None:
    """A stage whose result is in the store needs its key and no model."""

    def built() -> Any:
        raise AssertionError("nobody needs it yet")

    takes: Any = SimpleNamespace(
        runtime=SimpleNamespace(capabilities=SimpleNamespace(takes_integers=False)), decoder=None
    )
    trained = Trained(metric=0.5, keep_float=("head",), kept_because={"head": "it costs 3 dB"})
    point = QuantizedPoint("key", built, trained, two_four=("stem",))
    model = Int8Model(takes, point, Point("original", "first", built))
    assert (model.key, model.original_key, model.keep_float) == ("key", "first", ("head",))
    assert (model.kept_because["head"], model.two_four) == ("it costs 3 dB", ("stem",))
    float_model = FloatModel(takes, Point("original", "first", built))
    assert (float_model.key, float_model.original_key) == ("first", None)
    # Two kinds of model are two pieces of code, each in the keys of its own stages.
    assert model.maker.endswith(":Int8Model")
    assert float_model.maker.endswith(":FloatModel")


def test_whether_a_float_model_takes_any_batch_is_seen_by_tracing_it() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(1, 2) + 1

    for model, free in ((nn.Linear(2, 2), True), (Fixed(), False)):
        point: Any = SimpleNamespace(name="original", key="k", model=model.eval(), two_four=())
        assert FloatModel(job_of(1), point).free_batch == free
