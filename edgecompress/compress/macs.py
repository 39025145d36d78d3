"""MACs and parameters of a model, counted by running it once (1 MAC = 2 FLOPs)."""

import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    macs: int
    """Multiply-accumulates of one run on the example inputs."""
    params: int
    """Distinct parameters; a tied weight counts once."""
    layers: dict[str, int]
    """MACs of each module's own operators, without those of the modules inside it; '' is the
    model itself. They add up to `macs`. Modules without MACs are left out.
    """


def count(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> Cost:
    """Run `model` once and count. Works on eager modules and on exported GraphModules; the
    training flags of all modules are as before afterwards.
    """
    params = sum(parameter.numel() for parameter in model.parameters())
    with evaluating(model), _countable():
        if isinstance(model, fx.GraphModule):
            layers = _by_node(model, example_inputs)
        else:
            layers = _by_module(model, example_inputs)
    return Cost(sum(layers.values()), params, layers)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """All modules in eval mode inside, each as it was afterwards."""
    # Set by hand, because an exported GraphModule refuses eval().
    flags = {module: module.training for module in model.modules()}
    try:
        for module in flags:
            module.training = False
        yield
    finally:
        for module, training in flags.items():
            module.training = training


@contextmanager
def _countable() -> Iterator[None]:
    """Keep torch on kernels that the counter knows: it takes oneDNN's LSTM, the fused attention
    on a CPU and the no-grad fast path of attention for free.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        yield


def _by_module(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> dict[str, int]:
    with FlopCounterMode(display=False) as counter:
        model(*example_inputs)
    flops: dict[str, int] = {"": counter.get_total_flops()}
    for key, ops in counter.get_flop_counts().items():
        # A key is the class name and the module's path; 'Global' repeats the total.
        _, dot, name = key.partition(".")
        if dot:
            flops[name] = sum(ops.values())
    own = dict(flops)
    for name, total in flops.items():
        if name:
            parent = name.rpartition(".")[0]
            while parent not in flops:
                parent = parent.rpartition(".")[0]
            own[parent] -= total
    return {name: total // 2 for name, total in own.items() if total > 0}


def _by_node(model: fx.GraphModule, example_inputs: tuple[Tensor, ...]) -> dict[str, int]:
    interpreter = _Counting(model)
    interpreter.run(*example_inputs)
    return {name: macs for name, macs in interpreter.layers.items() if macs}


class _Counting(fx.Interpreter):
    """Counts node by node, and credits the module that each node was traced from."""

    def __init__(self, model: fx.GraphModule) -> None:
        super().__init__(model)
        self.layers: dict[str, int] = defaultdict(int)

    def run_node(self, n: fx.Node) -> object:
        with FlopCounterMode(display=False) as counter:
            result: object = super().run_node(n)
        stack = n.meta.get("nn_module_stack") or {"": ("", None)}
        path = list(stack.values())[-1][0]
        self.layers[path.removeprefix("L['self'].")] += counter.get_total_flops() // 2
        return result
