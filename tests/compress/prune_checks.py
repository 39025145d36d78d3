"""The invariant of pruning, checked by other means than in the package: channels are masked in
the activations that a layer receives, not in its weights.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgecompress.compress.plan import PrunePlan
from edgecompress.compress.prune import Pruned
from edgecompress.compress.prune_context import PruneContext
from edgecompress.spec.deploy import StructuredPruneSpec
from edgecompress.task.base import tensors_of


def structured(**changes: object) -> StructuredPruneSpec:
    """One uniform step by magnitude, but for `changes`."""
    values = {
        "method": "structured",
        "importance": "magnitude",
        "allocation": "uniform",
        "steps": 1,
    }
    return StructuredPruneSpec.model_validate({**values, **changes})


def context(example_inputs: tuple[Tensor, ...]) -> PruneContext:
    def loss(model: nn.Module) -> Tensor:
        return torch.stack([o.square().mean() for o in tensors_of(model(*example_inputs))]).sum()

    return PruneContext(
        example_inputs=example_inputs,
        loss=loss,
        score=lambda _: lambda model: -float(loss(model).detach()),
        finetune=lambda model, step: None,
    )


@contextlib.contextmanager
def masked_activations(model: nn.Module, plan: PrunePlan) -> Iterator[None]:
    """Zero what the consumers receive in the channels that the (one-step) plan removes."""
    hooks = []
    (step,) = plan.steps
    for cut in step:
        if cut.side == "in":
            layer = model.get_submodule(cut.layer)
            dim = -1 if isinstance(layer, nn.Linear) else 1

            def mask(
                module: nn.Module, inputs: tuple[Tensor], dim: int = dim, gone: object = cut.removed
            ) -> Tensor:
                return inputs[0].index_fill(dim, torch.tensor(gone), 0)

            hooks.append(layer.register_forward_pre_hook(mask))
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        # The fused attention layers of eval mode call no modules, and so no hooks.
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for hook in hooks:
            hook.remove()


def assert_equals_masked(model: nn.Module, result: Pruned, inputs: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        with masked_activations(model, result.plan):
            wanted = tensors_of(model(*inputs))
        found = tensors_of(result.model(*inputs))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
