"""What a model is trained on: the best device that is here, and the precision that suits it."""

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.node import map_aggregate
from torch.utils._pytree import tree_leaves

from edgecompress.compress.modes import set_training
from edgecompress.task.base import tensors_of
from edgecompress.task.guard import explain
from edgecompress.task.places import CPU, device_of, to_device

_TENSOR_CORES = (7, 0)
"""The first compute capability whose GPUs compute float16 several times faster than float32."""
_OWN = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True)
class Hardware:
    """Where a model is trained."""

    device: torch.device = CPU
    precision: torch.dtype = torch.float32
    """What convolutions and products are computed in; weights, losses and sums are float32."""

    @property
    def scales_loss(self) -> bool:
        """Whether gradients would be too small for the precision without a factor."""
        return self.precision is torch.float16

    def for_model(self, model: nn.Module) -> "Hardware":
        """The same for a fake-quantised graph in float32: eight bits of a mantissa cannot show what
        eight bits of an integer cost.
        """
        return Hardware(self.device) if isinstance(model, GraphModule) else self

    def autocast(self) -> torch.autocast | nullcontext[None]:
        """In which a model is run."""
        if self.precision is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def words(self) -> str:
        """'cuda:0 (NVIDIA H200), bfloat16'"""
        name = ""
        if self.device.type == "cuda" and torch.cuda.is_available():
            name = f" ({torch.cuda.get_device_name(self.device)})"
        return f"{self.device}{name}, {str(self.precision).removeprefix('torch.')}"


def best_hardware() -> Hardware:
    """CUDA, MPS or the CPU: the first of them that is here and works. ACCELERATE_USE_CPU=true, as
    `accelerate launch --cpu` sets it, leaves the CPU alone.
    """
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1", "yes"):
        return cpu_hardware()
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        if _works(device):
            return Hardware(device, _cuda_precision(device))
    if torch.backends.mps.is_available() and _works(torch.device("mps")):
        # Its GPUs compute float16 hardly faster, and bfloat16 not at all on the first of them.
        return Hardware(torch.device("mps"))
    return cpu_hardware()


def cpu_hardware() -> Hardware:
    """The CPU, in the precision that suits it: AMX multiplies matrices of bfloat16 several times
    faster than float32. What else a CPU may have for it was not tried.
    """
    # Older releases of torch do not tell.
    told: Callable[[], Mapping[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    return Hardware(CPU, torch.bfloat16 if told().get("amx_bf16") else torch.float32)


def _cuda_precision(device: torch.device) -> torch.dtype:
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    has_cores = torch.cuda.get_device_capability(device) >= _TENSOR_CORES
    return torch.float16 if has_cores else torch.float32


def _works(device: torch.device) -> bool:
    """Whether a kernel runs there: a driver may be too old, or a GPU, for this build of torch."""
    try:
        return float(torch.ones(2, device=device).sum()) == 2.0
    except (RuntimeError, NotImplementedError, AssertionError):
        # torch asserts where it was built without that kind of device.
        return False


def fault_on(hardware: Hardware, model: nn.Module, inputs: tuple[Tensor, ...]) -> str | None:
    """Move a model in place, and say in a line why it does not run there; None: it does. It is in
    eval mode afterwards.
    """
    set_training(model, False)
    try:
        place(model, hardware.device)
        with torch.enable_grad(), hardware.autocast():
            outputs = tensors_of(model(*to_device(inputs, hardware.device)))
        # An operator may have a kernel of that precision one way only.
        taken = [output.float().sum() for output in outputs if output.requires_grad]
        if taken:
            torch.autograd.backward(taken)
    except Exception as error:
        # The user's forward() may raise anything, such as about tensors that it makes on the CPU.
        return explain(error)
    finally:
        model.zero_grad(set_to_none=True)
    return None


def place(model: nn.Module, device: torch.device) -> None:
    """Move a model in place, with the tensors that its modules keep as plain attributes, and the
    devices that a captured graph names.
    """
    if device == device_of(model):
        return
    model.to(device)
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if name not in _OWN and any(isinstance(leaf, Tensor) for leaf in tree_leaves(value)):
                object.__setattr__(module, name, to_device(value, device))
        if isinstance(module, GraphModule):
            _rename_devices(module, device)


def _rename_devices(graph: GraphModule, device: torch.device) -> None:
    def renamed(argument: object) -> object:
        return device if isinstance(argument, torch.device) else argument

    rename: Callable[..., object] = map_aggregate
    for node in graph.graph.nodes:
        node.args = rename(node.args, renamed)
        node.kwargs = rename(node.kwargs, renamed)
    graph.recompile()
