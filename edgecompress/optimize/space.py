"""The recipes that are searched: from a point of the space to a deploy.yaml.

`draw` asks for one choice after another, and what is asked depends on what was chosen. All choices
are from short lists, so that a point that is met twice is known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgecompress.optimize.plan import Params, Plan, Value
from edgecompress.spec.base import digest, parse
from edgecompress.spec.deploy import (
    DEFAULT_DISTILLATION,
    DeployConfig,
    DistillSpec,
    StructuredPruneSpec,
    TrainSpec,
)
from edgecompress.spec.target import Target

Pick = Callable[[str, Sequence[Value]], Value]
"""Picks one of several values for the choice of that name."""

CHOICES: dict[str, tuple[Value, ...]] = {
    "precision": ("int8", "float"),  # where floats are about as fast
    "ranges": ("minmax", "percentile", "mse"),
    "equalise": ("off", "on"),
    "prune": ("off", "structured"),
    "blocks": (0, 1, 2, 3),  # residual blocks that go whole
    "reduction": (1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0),  # of MACs; or of latency, where that decides
    "importance": ("magnitude", "taylor", "fisher", "bn_scale"),
    "allocation": ("uniform", "global", "sensitivity", "latency"),
    "reach": ("layers", "operators"),
    "train": ("off", "qat"),  # of what is not pruned
    "recover": ("float", "qat", "both"),  # what is pruned always trains
    "optimizer": ("sgd", "adamw"),
    "rate": (0.3, 1.0, 3.0),  # times the usual one
    "ema": ("off", "on"),
    "distill": ("off", "logits"),
    "train_scales": ("off", "on"),  # where int8 is trained
    "rounding": ("nearest", "adaptive"),  # where it is not
    "correct_biases": ("off", "on"),
}
_TRAINS_BY = ("optimizer", "rate", "ema", "distill")
"""What is chosen of whatever trains."""
_EMA_DECAY = 0.99
_TRAINING: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.02, "weight_decay": 5e-4},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.01},
}
_QAT_RATE = 0.25
"""Share of the rate of training in float, which int8 refines."""
_FULL_EPOCHS = 30
"""How long a full training is where the user's recipe says nothing."""
_FLOAT_SHARE = 2 / 3
"""Share of the epochs, where a recipe trains in float and then in int8."""
_CALIBRATION_BATCHES = 8
_IN_INT8 = ("qat", "both")
_OF_ITS_TRAINING = {"gradient_clip", "label_smoothing", "accumulate"}
"""What a search leaves as the user's own training has it."""
UNTABLED = "allocation without a table"
"""How the sampler knows `allocation` where layers are not measured one by one."""
_GOALS = {"latency": "latency_reduction"}
"""What a reduction is of, by the allocation; of MACs where it is not here."""
_SWITCHES = ("equalise", "correct_biases", "train_scales")


_OF_NUMBERS = {
    *("mode", "ranges", "calibration_batches", "train", "freeze_at", "max_metric_drop"),
    *("equalise", "rounding", "correct_biases", "train_scales"),
}
"""Keys of `quantize` that change a file's numbers, and not its shape."""


class Offer(NamedTuple):
    """What the space has beside its own, by what was measured so far."""

    tabled: tuple[str, ...] | None = None
    """Targets for which layers may be measured one by one, which takes minutes; None: any."""
    floats: tuple[str, ...] = ()
    """Targets in which the original in float is about as fast as the fastest plain int8, so that
    less of it may be the fastest of all; the fastest first.
    """
    trains_int8: bool = True
    """Whether int8 loses anything there that training in it could bring back."""

    def has_table(self, target: str) -> bool:
        """Whether channels may be chosen for it by the latencies of single layers."""
        return self.tabled is None or target in self.tabled


NOTHING = Offer()
"""Nothing was measured."""


@dataclass(frozen=True)
class Space:
    """What may be chosen for one deploy.yaml and one board."""

    base: DeployConfig
    """The user's: task, budgets, and the settings of its training, where it has any."""
    targets: tuple[Target, ...]
    """Those of the board's runtimes that the device has."""
    trains: bool = True
    """Whether the task has data to train with."""
    blocks: int = 0
    """How many residual blocks of the model can go."""
    _nominal: dict[str, DeployConfig] = field(default_factory=dict, compare=False, repr=False)
    """Recipes by the keys of their plans, because every step of a search asks for all of them."""

    @property
    def digest(self) -> str:
        """Points of another space have nothing to do with this one's."""
        base = self.base.model_dump(mode="json", exclude={"budgets"})
        targets = [one.model_dump(mode="json") for one in self.targets]
        choices = {name: list(values) for name, values in CHOICES.items()}
        in_float = not self.base.budgets.asks_for_int8
        return digest([base, targets, self.trains, self.blocks, in_float, choices])

    @property
    def has_own(self) -> bool:
        """Whether deploy.yaml has a recipe."""
        base = self.base
        return any(part is not None for part in (base.prune, base.finetune, base.quantize))

    @property
    def ignored_layers(self) -> list[str]:
        """Those that the user's recipe does not prune."""
        own = self.base.prune
        return [] if own is None else list(own.ignored_layers)

    def target(self, name: str) -> Target:
        return next(target for target in self.targets if target.name == name)

    def plain(self) -> tuple[Plan, ...]:
        """Int8 without anything else, in each runtime."""
        return tuple(Plan(kind="plain", target=one.name) for one in self.targets)

    def originals(self) -> tuple[Plan, ...]:
        """The float original in each runtime, where something in float may ship."""
        if not self.trains or self.base.budgets.asks_for_int8:
            return ()
        return tuple(Plan(kind="original", target=one.name) for one in self.targets)

    def draw(self, pick: Pick, offer: Offer = NOTHING) -> Plan:
        """A point, choice by choice."""
        target = self.target(str(pick("target", [one.name for one in self.targets])))
        params: Params = {}

        def choose(name: str, only: Value | None = None) -> Value:
            params[name] = pick(name, CHOICES[name]) if only is None else only
            return params[name]

        how: Value = "off"
        prunes = self.prunes(target)
        in_float = prunes and target.name in offer.floats and choose("precision") == "float"
        if in_float:
            # The original itself, or one that only trained more, is no smaller.
            choose("prune", "structured")
        else:
            choose("ranges")
            choose("equalise")
        if in_float or (prunes and choose("prune") != "off"):
            for name in ("reduction", "importance", "reach"):
                choose(name)
            if not in_float and offer.has_table(target.name):
                params["allocation"] = pick("allocation", self.allocations)
            else:
                cheap = [one for one in self.allocations if one != "latency"]
                params["allocation"] = pick(UNTABLED, cheap)
            if self.blocks:
                params["blocks"] = pick("blocks", CHOICES["blocks"][: self.blocks + 1])
            how = choose("recover", "float" if in_float or not offer.trains_int8 else None)
        elif self.trains:
            how = choose("train", None if offer.trains_int8 else "off")
        for name in _TRAINS_BY if how != "off" else ():
            choose(name)
        if not in_float:
            for name in ("train_scales",) if how in _IN_INT8 else ("rounding", "correct_biases"):
                choose(name)
        return Plan(kind="drawn", target=target.name, params=params)

    def prunes(self, target: Target) -> bool:
        """Whether channels may be cut for it."""
        return self.trains and "structured" in target.sparsity

    @property
    def allocations(self) -> Sequence[Value]:
        """Without that by latency where a file of each layer takes minutes to build."""
        builds = any(one.runtime.capabilities.builds_engine for one in self.targets)
        return [one for one in CHOICES["allocation"] if not (builds and one == "latency")]

    def nominal(self, plan: Plan) -> DeployConfig:
        """The recipe of a plan with its whole training, as one would write it."""
        if plan.kind == "own":
            return self.base
        if plan.key not in self._nominal:
            self._nominal[plan.key] = self._written(plan)
        return self._nominal[plan.key]

    def config(self, plan: Plan) -> DeployConfig:
        """The recipe of a plan with the training of its rung."""
        return at_epochs(self.nominal(plan), plan.epochs)

    def shape(self, plan: Plan) -> str:
        """The same for plans whose files have the same operators and shapes, so the same latency;
        how numbers in them are chosen changes neither.
        """
        config = self.config(plan)
        prune, quantize = config.prune, config.quantize
        pruning: list[Any] = [prune and prune.model_dump(mode="json")]
        if isinstance(prune, StructuredPruneSpec):
            if prune.allocation == "uniform":
                pruning = [prune.model_dump(mode="json", exclude={"importance"})]
            if prune.goes_by_loss and (recovery := self.nominal(plan).recovery) is not None:
                pruning.append(recovery.model_dump(mode="json"))
        quantizing = quantize and quantize.model_dump(mode="json", exclude=_OF_NUMBERS)
        # What is left in float for the metric follows from all that was done before.
        keeps = quantize is not None and quantize.max_metric_drop is not None
        return digest([plan.target, pruning, quantizing, [plan.key, plan.rung] if keeps else None])

    def full_epochs(self, plan: Plan) -> int:
        """Epochs of a whole training; 0: it trains nothing."""
        return sum(part.epochs for part in training_of(self.nominal(plan)).values())

    def _written(self, plan: Plan) -> DeployConfig:
        params, quantize = plan.params, self._quantize(plan.params)
        sections: dict[str, Any] = {"distill": "off"}
        if plan.kind == "original":
            # DeployConfig refuses a recipe without any section, unless it says `auto`.
            whole = self._common() | {"recipe": "auto", "distill": "off"}
            return parse(DeployConfig, whole, "the original")
        if params.get("precision") != "float":
            sections["quantize"] = quantize
        if params.get("prune") == "structured":
            sections["prune"] = {
                "method": "structured",
                "importance": params["importance"],
                "allocation": params["allocation"],
                _GOALS.get(str(params["allocation"]), "macs_reduction"): params["reduction"],
                "remove_blocks": params.get("blocks", 0),
                "reach": params["reach"],
                "ignored_layers": self.ignored_layers,
                "steps": 1,
            }
        how, epochs = params.get("recover", params.get("train")), self._epochs()
        floats = {"float": epochs, "both": max(1, round(epochs * _FLOAT_SHARE))}.get(str(how), 0)
        if floats:
            sections["finetune"] = self._training(params, floats)
        if how in _IN_INT8:
            rest = max(1, epochs - floats)
            quantize |= {"mode": "qat", "train": self._training(params, rest, _QAT_RATE)}
        if params.get("distill") == "logits":
            sections["distill"] = self._distillation()
        return parse(DeployConfig, self._common() | sections, "a point of the search")

    def _common(self) -> dict[str, Any]:
        """What every recipe has of the user's."""
        kept = {"task", "seed", "train", "robustness", "budgets"}
        return self.base.model_dump(mode="json", include=kept)

    def _quantize(self, params: Mapping[str, Value]) -> dict[str, Any]:
        own = self.base.quantize
        kept: dict[str, Any] = {"calibration_batches": _CALIBRATION_BATCHES}
        if own is not None:
            kept = own.model_dump(mode="json", include={*kept, "scheme", "keep_float"})
        on = {name: params.get(name) == "on" for name in _SWITCHES}
        return {
            "mode": "ptq",
            "ranges": params.get("ranges", "minmax"),
            "rounding": params.get("rounding", "nearest"),
            **kept,
            **on,
        }

    def _epochs(self) -> int:
        return sum(part.epochs for part in training_of(self.base).values()) or _FULL_EPOCHS

    def _training(
        self, params: Mapping[str, Value], epochs: int, share: float = 1.0
    ) -> dict[str, Any]:
        """`share`: of the usual learning rate."""
        usual, own = _TRAINING[str(params["optimizer"])], self.own_training
        kept: dict[str, Any] = {}
        if own is not None:
            kept = own.model_dump(mode="json", include=_OF_ITS_TRAINING)
            if own.optimizer == params["optimizer"]:
                # What the user's net is known to learn well by.
                usual = {**usual, **own.model_dump(mode="json", include=set(usual))}
        rate = usual["learning_rate"] * float(params["rate"]) * share
        ema = _EMA_DECAY if params["ema"] == "on" else None
        schedule = {"epochs": epochs, "learning_rate": rate, "warmup_epochs": 1.0}
        return {**kept, **usual, **schedule, "ema_decay": ema}

    @property
    def own_training(self) -> TrainSpec | None:
        """How the user trains: what is made of the model, or else the model itself."""
        return next(iter(training_of(self.base).values()), self.base.train)

    def _distillation(self) -> dict[str, Any]:
        own = self.base.distill
        usual = own if isinstance(own, DistillSpec) else DEFAULT_DISTILLATION
        return usual.model_dump(mode="json")


def training_of(config: DeployConfig) -> dict[str, TrainSpec]:
    """The parts of a recipe that train what it makes, by their section."""
    parts = {"finetune": config.finetune}
    if config.quantize is not None:
        parts["quantize"] = config.quantize.train
    return {name: part for name, part in parts.items() if part is not None}


def at_epochs(config: DeployConfig, epochs: int) -> DeployConfig:
    """The recipe with so many epochs in all, shared out as it does; 0: without training, and of the
    same shape as far as that does not depend on training.
    """
    parts = training_of(config)
    whole = sum(part.epochs for part in parts.values())
    if epochs == whole:
        return config
    prune, quantize = config.prune, config.quantize
    if not epochs:
        if isinstance(prune, StructuredPruneSpec):
            prune = prune.model_copy(update={"sparsify": None, "epochs_between": 0})
        if quantize is not None:
            # Operators are kept in float for the metric once there is one.
            quantize = quantize.untrained().model_copy(update={"max_metric_drop": None})
        update = {"prune": prune, "finetune": None, "distill": "off", "quantize": quantize}
        return config.model_copy(update=update)
    short = {name: _shortened(part, epochs / whole) for name, part in parts.items()}
    if quantize is not None and "quantize" in short:
        quantize = quantize.model_copy(update={"train": short["quantize"]})
    return config.model_copy(update={"finetune": short.get("finetune"), "quantize": quantize})


def _shortened(part: TrainSpec, share: float) -> TrainSpec:
    """A schedule of its own, and not the beginning of the long one: its end is what is compared."""
    epochs = max(1, round(part.epochs * share))
    return part.model_copy(update={"epochs": epochs, "warmup_epochs": part.warmup_epochs * share})
