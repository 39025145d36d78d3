"""`deploy.yaml`: the task, the recipe and the budgets.

A choice that changes accuracy has no default and must be written down. What may be left out is
switched off by leaving it out; the exception is distillation, which pruning switches on.
"""

import math
from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from edgecompress.spec.base import GrowingSpec, Spec
from edgecompress.spec.runtime import Positive

Fraction = Annotated[float, Field(ge=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
_TOLERANCE = 2.0**-23
"""Relative; metrics are computed in float32, where one point less is not 0.01 exactly."""

SEPARATOR = ":"
"""Between the path of a module, which cannot have it, and the name of an operator in it."""


class TaskRef(Spec):
    path: str
    """'my_task.py:MyTask', relative to deploy.yaml, or 'package.module:MyTask'."""
    options: dict[str, Any] = {}
    """Keyword arguments of the task's constructor."""
    files: tuple[str, ...] = ()
    """Data files the task reads where a deploy cannot see it: outside of its folder, or by a C
    library; a change of their content redoes what depends on them.
    """

    @model_validator(mode="after")
    def _check(self) -> "TaskRef":
        if self.path.count(":") != 1 or not all(self.path.split(":")):
            raise ValueError(f"path '{self.path}' must look like 'my_task.py:MyTask'")
        return self


class TrainSpec(GrowingSpec):
    """One visible loop of epochs: cosine schedule with linear warm-up, best epoch kept."""

    newer: ClassVar[frozenset[str]] = frozenset({"ema_decay", "accumulate"})
    epochs: Positive
    optimizer: Literal["sgd", "adamw"]
    """sgd has Nesterov momentum 0.9."""
    learning_rate: PositiveFloat
    weight_decay: NonNegative = 0.0
    warmup_epochs: NonNegative = 0.0
    gradient_clip: PositiveFloat | None = None
    """Largest L2 norm of all gradients together."""
    label_smoothing: Fraction = 0.0
    early_stop_epochs: Positive | None = None
    """Stop after this many epochs without a better metric."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, which is validated and kept in their place."""
    accumulate: Positive = 1
    """Batches whose gradients are averaged for one step of the optimizer."""

    def for_one_epoch(self) -> "TrainSpec":
        """The same optimizer and rate, without what takes more than an epoch."""
        once = {"epochs": 1, "warmup_epochs": 0.0, "ema_decay": None, "early_stop_epochs": None}
        return TrainSpec.model_validate({**self.model_dump(), **once})


class SparsifySpec(TrainSpec):
    """Training before the channels are chosen, which drives whole channels towards zero; its last
    epoch is kept, whatever its metric.
    """

    group_sparsity: PositiveFloat
    """Strength of the group lasso on the channels that pruning may remove."""

    @model_validator(mode="after")
    def _check(self) -> "SparsifySpec":
        if self.early_stop_epochs is not None:
            raise ValueError("sparsify keeps its last epoch; remove early_stop_epochs")
        return self


class DistillSpec(GrowingSpec):
    """Learning from the original model's softened outputs (Hinton et al., 2015)."""

    newer: ClassVar[frozenset[str]] = frozenset({"feature_kind"})
    temperature: PositiveFloat
    weight: Annotated[float, Field(gt=0, le=1)]
    """Share of the teacher in the loss; the task's own loss has the rest."""
    feature_layers: tuple[str, ...] = ()
    """Modules whose outputs are matched too, in the way of `feature_kind`."""
    feature_weight: NonNegative = 0.0
    feature_kind: Literal["attention", "similarity", "values"] = "attention"
    """attention: spatial attention maps (Zagoruyko & Komodakis, 2017). similarity: which samples of
    a batch are alike (Tung & Mori, 2019). values: the outputs themselves (Romero et al., 2015),
    which have to be of one shape.
    """


DEFAULT_DISTILLATION = DistillSpec(temperature=4.0, weight=0.7)


class StructuredPruneSpec(GrowingSpec):
    """Remove whole channels, by dependency groups (DepGraph, Fang et al., 2023)."""

    newer: ClassVar[frozenset[str]] = frozenset({"remove_blocks", "latency_reduction", "reach"})

    method: Literal["structured"]
    importance: Literal["magnitude", "taylor", "fisher", "bn_scale", "loss"]
    allocation: Literal["uniform", "global", "sensitivity", "latency"]
    pruning_ratio: Fraction | dict[str, Fraction] | None = None
    """Fraction of channels removed: one for all groups, or one per named layer."""
    macs_reduction: Annotated[float, Field(gt=1)] | None = None
    """Instead of pruning_ratio: how many times fewer MACs the result must have."""
    latency_reduction: Annotated[float, Field(gt=1)] | None = None
    """With allocation: latency, instead of both: how many times lower the latency on the target's
    device must be, in the form in which the model ships.
    """
    reach: Literal["layers", "operators"] = "layers"
    """Whose channels may go: those that can be followed from layer to layer; or also those that
    only operators show, as heads of attention and the channels of padded shortcuts.
    """
    remove_blocks: Annotated[int, Field(ge=0)] = 0
    """How many residual blocks go whole, before channels do: those that the loss misses least."""
    steps: Positive
    """Prune in this many steps, with fine-tuning after each."""
    epochs_between: Annotated[int, Field(ge=0)] = 0
    """Fine-tuning epochs after every step but the last."""
    ignored_layers: tuple[str, ...] = ()
    sparsify: SparsifySpec | None = None
    then: Literal["2:4"] | None = None
    """What follows the last step: see TwoFourPruneSpec."""

    @property
    def cuts_channels(self) -> bool:
        """Whether channels go, and not whole blocks alone."""
        return bool(self._goals)

    @property
    def goes_by_loss(self) -> bool:
        """Whether what goes follows from what cuts cost after a short training."""
        return self.allocation in ("sensitivity", "latency") or bool(self.remove_blocks)

    @property
    def _goals(self) -> list[object]:
        goals = (self.pruning_ratio, self.macs_reduction, self.latency_reduction)
        return [goal for goal in goals if goal is not None]

    def without_layers(self, gone: Collection[str]) -> "StructuredPruneSpec":
        """Without ratios of layers that went with their block: nobody knows beforehand which."""
        if not isinstance(self.pruning_ratio, dict):
            return self
        left = {name: ratio for name, ratio in self.pruning_ratio.items() if name not in gone}
        return self.model_copy(update={"pruning_ratio": left or None})

    @model_validator(mode="after")
    def _check(self) -> "StructuredPruneSpec":
        if len(self._goals) != 1 and (self._goals or not self.remove_blocks):
            raise ValueError(
                "give exactly one of pruning_ratio, macs_reduction, latency_reduction; or with"
                " remove_blocks none"
            )
        if (self.latency_reduction is None) == (self.allocation == "latency"):
            raise ValueError("allocation: latency and latency_reduction need one another")
        if isinstance(self.pruning_ratio, dict) and self.allocation != "uniform":
            raise ValueError("pruning_ratio per layer needs allocation: uniform")
        if not self.cuts_channels and self.steps > 1:
            raise ValueError(
                "steps are of channels; blocks go at once: remove_blocks needs steps: 1"
            )
        if self.steps == 1 and self.epochs_between:
            raise ValueError("epochs_between needs steps of at least 2")
        return self


class UnstructuredPruneSpec(Spec):
    """Zero single weights: w' = w where |w| > threshold, else 0."""

    method: Literal["unstructured"]
    threshold: NonNegative | dict[str, NonNegative] | None = None
    """tau for all layers, or one per named layer."""
    sparsity: Fraction | None = None
    """Instead of threshold: the fraction of weights to zero."""
    scope: Literal["layer", "global"]
    """Whether `sparsity` is met in every layer or over all of them together."""
    ignored_layers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "UnstructuredPruneSpec":
        if (self.threshold is None) == (self.sparsity is None):
            raise ValueError("give exactly one of threshold, sparsity")
        return self


class TwoFourPruneSpec(Spec):
    """Zero the two smallest of every four weights along input channels (Mishra et al., 2021)."""

    method: Literal["2:4"]
    ignored_layers: tuple[str, ...] = ()


PruneSpec = Annotated[
    StructuredPruneSpec | UnstructuredPruneSpec | TwoFourPruneSpec, Field(discriminator="method")
]


class QuantizeSpec(GrowingSpec):
    newer: ClassVar[frozenset[str]] = frozenset(
        {"equalise", "rounding", "correct_biases", "train_scales"}
    )

    mode: Literal["ptq", "qat"]
    scheme: Literal["target", "portable"] = "target"
    """Which QuantizationScheme: each target's own, or the one of which files for every runtime can
    be made after one training (int8 symmetric, per-channel weights).
    """
    ranges: Literal["minmax", "percentile", "mse", "auto"]
    """How an activation's range is chosen during calibration; auto: the best of the three."""
    calibration_batches: Positive
    equalise: bool = False
    """Before anything is quantised, give the channels between two layers ranges of one size."""
    rounding: Literal["nearest", "adaptive"] = "nearest"
    """How weights are rounded in mode: ptq; adaptive: up or down, so that each layer's output on
    the calibration data stays.
    """
    correct_biases: bool = False
    """Take from each bias what rounding adds to the layer's mean output on the calibration data."""
    train: TrainSpec | None = None
    """Quantisation-aware fine-tuning; needed by mode: qat, refused by mode: ptq."""
    freeze_at: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the QAT epochs after which observers and batch-norm statistics are frozen."""
    train_scales: bool = False
    """Let QAT learn the scales of weights and activations with the weights."""
    keep_float: tuple[str, ...] = ()
    """Modules kept in float, by name (a name covers all inside it), and single operators as the
    report calls them: 'layer1.0:add_3'.
    """
    keep_float_sensitive: Annotated[int, Field(ge=0)] = 0
    """How many more operators to keep in float: those that alone cost the most when quantised."""

    max_metric_drop: NonNegative | None = None
    """How much worse than the model before quantising, in the metric's own unit on the validation
    data; operators stay in float until it is kept.
    """

    @property
    def is_portable(self) -> bool:
        """Whether all targets share one scheme, whatever each would prefer."""
        return self.scheme == "portable"

    def untrained(self) -> "QuantizeSpec":
        """The same by calibration alone."""
        update = {"mode": "ptq", "train": None, "train_scales": False}
        return self.model_copy(update=update)

    @model_validator(mode="after")
    def _check(self) -> "QuantizeSpec":
        if self.mode == "qat" and self.train is None:
            raise ValueError("mode: qat needs train: {epochs, optimizer, learning_rate}")
        if self.mode == "ptq" and self.train is not None:
            raise ValueError("mode: ptq trains nothing; remove train, or use mode: qat")
        if self.mode == "qat" and self.rounding != "nearest":
            raise ValueError("mode: qat learns how to round; remove rounding, or use mode: ptq")
        if self.mode == "ptq" and self.train_scales:
            raise ValueError("mode: ptq trains nothing; remove train_scales, or use mode: qat")
        return self


def excess_drop(drop: float, allowed: float, metrics: tuple[float, float]) -> float:
    """How much more of a metric is lost than may be: 0 where it is kept, as far as the `metrics`
    that the drop lies between can tell; infinite where one of them is no number.
    """
    if not all(map(math.isfinite, metrics)):
        return math.inf
    excess = drop - allowed
    return excess if excess > _TOLERANCE * max(map(abs, metrics)) else 0.0


class Budgets(Spec):
    """What the candidate must keep to; every one that is set is checked by the verdict."""

    max_metric_drop: NonNegative
    """In the metric's own unit, against the baseline on the same data: 0.01 is one point."""
    accept_uncertain: bool = False
    """Ship on the metric that was found where the evaluation set is too small to tell."""
    min_speedup: Annotated[float, Field(ge=1)] = 1.0
    """Baseline p50 / candidate p50, measured in turns."""
    latency_ms_p50: PositiveFloat | None = None
    latency_ms_p90: PositiveFloat | None = None
    latency_ms_p99: PositiveFloat | None = None
    init_time_ms: PositiveFloat | None = None
    peak_rss_bytes: Positive | None = None
    model_size_bytes: Positive | None = None
    min_int8_op_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the MACs that int8 kernels must run."""

    @property
    def asks_for_int8(self) -> bool:
        """Whether no file of floats may ship."""
        return self.min_int8_op_fraction is not None and self.min_int8_op_fraction > 0

    def allow(self, before: float, after: float, *, higher_is_better: bool) -> bool:
        """Whether a metric got worse by no more than `max_metric_drop`; what is no number never is
        allowed.
        """
        drop = before - after if higher_is_better else after - before
        return excess_drop(drop, self.max_metric_drop, (before, after)) == 0.0


class DeployConfig(GrowingSpec):
    newer: ClassVar[frozenset[str]] = frozenset({"recipe"})

    task: TaskRef
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    recipe: Literal["auto"] | None = None
    """auto: found by a search (`edgecompress optimize`), in place of the sections below."""
    train: TrainSpec | None = None
    """For a model that is not trained yet: train the original first."""
    prune: PruneSpec | None = None
    finetune: TrainSpec | None = None
    distill: DistillSpec | Literal["off"] | None = None
    quantize: QuantizeSpec | None = None
    robustness: bool = False
    """Compare the metric on corrupted inputs too."""
    budgets: Budgets

    @property
    def recovery(self) -> TrainSpec | None:
        """How what is pruned trains, for an epoch; None: it does not."""
        int8 = None if self.quantize is None else self.quantize.train
        spec = self.finetune if self.finetune is not None else int8
        return None if spec is None else spec.for_one_epoch()

    @model_validator(mode="after")
    def _check(self) -> "DeployConfig":
        given = [n for n in ("prune", "finetune", "quantize") if getattr(self, n) is not None]
        if self.recipe == "auto" and given:
            raise ValueError(f"recipe: auto finds what to do by itself; remove it, or {given[0]}")
        if self.recipe is None and not given:
            raise ValueError(
                "nothing to do: give at least one of prune, finetune, quantize, or recipe: auto"
            )
        prune = self.prune
        if isinstance(prune, StructuredPruneSpec) and prune.epochs_between and not self.finetune:
            raise ValueError("prune.epochs_between needs finetune: its optimizer and rate are used")
        return self
