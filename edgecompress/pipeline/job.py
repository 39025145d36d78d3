"""What every stage is given, and what the training stages hand on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from edgecompress.compress.plan import PrunePlan
from edgecompress.compress.sparsify import Masks
from edgecompress.pipeline.inputs import measured_inputs
from edgecompress.pipeline.stages import Stages
from edgecompress.runtimes import runtime
from edgecompress.spec.allocation import LatencyAllocation
from edgecompress.spec.base import GrowingSpec
from edgecompress.spec.device import Device
from edgecompress.spec.recipe import Recipe
from edgecompress.spec.report import EpochRow, LayerRow
from edgecompress.spec.target import Cpu
from edgecompress.task.base import Batch, Task, inputs_of, take
from edgecompress.task.decoded import decoder_of
from edgecompress.task.guard import user_code
from edgecompress.task.places import CPU, device_of, to_device
from edgecompress.task.seed import seed_everything

if TYPE_CHECKING:
    from edgecompress.compress.quantize import Quantized
    from edgecompress.measure.inputs import Inputs
    from edgecompress.runtimes.base import Runtime

CALIBRATION_SEED = 1_000_003  # an "epoch" that no training reaches
_LOSS_BATCHES = 8


class Trained(GrowingSpec):
    """What the store keeps of a training stage, beside the weights."""

    newer = frozenset({"latency"})

    metric: float
    """The metric of the torch model on the task's validation data."""
    epochs: tuple[EpochRow, ...] = ()
    plan: PrunePlan | None = None
    layers: tuple[LayerRow, ...] = ()
    keep_float: tuple[str, ...] = ()
    kept_because: dict[str, str] = {}
    """What each of those that a search or a ranking chose among keep_float costs in int8."""
    notes: tuple[str, ...] = ()
    """What quantising chose for the user and why."""
    latency: LatencyAllocation | None = None
    """What pruning by latency predicted and measured."""


@dataclass
class Job:
    """What every stage is given."""

    recipe: Recipe
    here: Cpu
    """This machine's CPU: what a runtime makes of a file here depends on it."""
    task: Task
    model: nn.Module
    """The model that `task.model()` gave."""
    fingerprint: str
    stages: Stages
    agent_dir: Path
    """A folder of this run alone, for what the agent is sent: two deploys may run at once."""
    device: Device | None = None
    """Where pruning by latency measures; None: nowhere."""

    @property
    def runtime(self) -> "Runtime":
        """The target's runtime."""
        return runtime(self.recipe.target.runtime.name)

    @cached_property
    def decoder(self) -> nn.Module | None:
        """What decodes the outputs inside of the file; None: nothing does."""
        if self.recipe.target.outputs == "raw":
            return None
        return decoder_of(self.task)

    @cached_property
    def example_inputs(self) -> tuple[Tensor, ...]:
        seed_everything(self.recipe.config.seed, 0)
        return self.task.example_inputs()

    @cached_property
    def measured_inputs(self) -> "Inputs":
        """What every file that is measured is given."""
        return measured_inputs(self)

    @cached_property
    def calibration(self) -> list[Batch]:
        """The same batches whenever they are asked for."""
        quantize = self.recipe.config.quantize
        seed_everything(self.recipe.config.seed, CALIBRATION_SEED)
        count = _LOSS_BATCHES if quantize is None else quantize.calibration_batches
        return take(self.task.calibration_data(), count)

    @cached_property
    def loss_batches(self) -> list[Batch]:
        seed_everything(self.recipe.config.seed, CALIBRATION_SEED)
        return take(self.task.train_data(), _LOSS_BATCHES)

    def loss(self, model: Callable[..., Any]) -> Tensor:
        """Mean task loss on fixed training batches, differentiable; computed where the model is."""
        name, device = type(self.task).__name__, device_of(model)
        batches = self.loss_batches if device == CPU else to_device(self.loss_batches, device)
        with user_code(f"the model on a batch of {name}.train_data()"):
            losses = [self.task.loss(model(*inputs_of(b)), b[1]) for b in batches]
        return torch.stack(losses).mean()

    def depends_on(self, **more: JsonValue) -> dict[str, JsonValue]:
        return {"task": self.fingerprint, "seed": self.recipe.config.seed, **more}


@dataclass
class Point:
    """The model after one stage, rebuilt from the store on demand."""

    name: str
    key: str
    build: Callable[[], nn.Module]
    metric: float | None = None
    epochs: tuple[EpochRow, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    masks: Callable[[], Masks] = dict
    two_four: tuple[str, ...] = ()
    """Layers whose weights are 2:4."""
    latency: LatencyAllocation | None = None
    """As in `Trained`."""

    @cached_property
    def model(self) -> nn.Module:
        """The live model in eval mode; it is shared, so copy it before changing it."""
        return self.build()


@dataclass
class QuantizedPoint:
    """The quantised model, rebuilt from the store on demand."""

    key: str
    build: "Callable[[], Quantized]"
    trained: Trained
    two_four: tuple[str, ...] = ()
    """Layers whose weights are 2:4."""

    @cached_property
    def quantized(self) -> "Quantized":
        return self.build()
