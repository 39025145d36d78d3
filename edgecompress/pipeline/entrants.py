"""What may be made of one model for one target: the entrants of a race."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.race import Variant
from edgecompress.spec.recipe import Recipe
from edgecompress.spec.target import Target

WORDS: dict[Variant, str] = {
    "original": "the original in float32",
    "half": "the original in {float_dtype}",
    "float": "the recipe without quantising",
    "recipe": "the recipe",
    "ptq": "the recipe, quantised without training",
    "direct": "the original, quantised without training",
}


@dataclass(frozen=True)
class Entrant:
    """One way to make a file for one target."""

    variant: Variant
    recipe: Recipe
    """The plan that makes it."""
    shape: Recipe
    """A plan that trains less and makes a file of the same operators and shapes, so that its
    latency is known before anything is trained for it."""

    @property
    def name(self) -> str:
        target = self.recipe.target
        words = WORDS[self.variant].format(float_dtype=target.float_dtype)
        many = f", threads: {target.runtime.threads}" if target.race.threads else ""
        return f"{words} ({target.runtime.name}{many})"

    @property
    def is_original(self) -> bool:
        """Whether nothing was done to the model, so that its metric needs no proof."""
        return self.variant == "original"


def entrants_of(recipe: Recipe) -> tuple[Entrant, ...]:
    """All that is tried for a target, the user's own recipe among it."""
    target = recipe.target
    counts = dict.fromkeys((target.runtime.threads, *target.race.threads))
    with_threads = (
        target.model_copy(update={"runtime": target.runtime.model_copy(update={"threads": count})})
        for count in counts
    )
    return tuple(
        entrant
        for each in with_threads
        for entrant in _variants(recipe.model_copy(update={"target": each}))
    )


def asks_for_int8(config: DeployConfig) -> bool:
    """Whether floats are of no use in a race, but for the original: they may not ship. A recipe
    that does not quantise has nothing else, and its verdict says what is amiss.
    """
    return config.quantize is not None and config.budgets.asks_for_int8


def _variants(recipe: Recipe) -> Iterator[Entrant]:
    config = recipe.config
    plain = {"prune": None, "finetune": None, "distill": "off"}
    variants: list[tuple[Variant, DeployConfig]] = [
        ("original", config.model_copy(update={**plain, "quantize": None}))
    ]
    compresses = config.prune is not None or config.finetune is not None
    if compresses and not asks_for_int8(config):
        variants.append(("float", config.model_copy(update={"quantize": None})))
    quantize = config.quantize
    if quantize is not None:
        variants.append(("recipe", config))
        untrained = config.model_copy(update={"quantize": quantize.untrained()})
        if quantize.train is not None:
            variants.append(("ptq", untrained))
        if compresses:
            variants.append(("direct", untrained.model_copy(update=plain)))
    for variant, wanted in variants:
        yield _entrant(variant, recipe, wanted)
    if asks_for_int8(config):
        return
    for target in _halved(recipe.target):
        yield _entrant("half", recipe.model_copy(update={"target": target}), variants[0][1])


def _entrant(variant: Variant, recipe: Recipe, config: DeployConfig) -> Entrant:
    distill = None if config.distill == "off" else recipe.distill
    plan = recipe.model_copy(update={"config": config, "distill": distill})
    shape = plan
    if config.quantize is not None:
        # Which operators stay in float for the metric is looked for once a file is fast enough.
        quick = config.quantize.untrained().model_copy(update={"max_metric_drop": None})
        shape = plan.model_copy(update={"config": config.model_copy(update={"quantize": quick})})
    return Entrant(variant, plan, shape)


def _halved(target: Target) -> tuple[Target, ...]:
    """The target with each type but float32 that its runtime computes in on that board."""
    halved = []
    for dtype in target.runtime.capabilities.float_dtypes:
        if dtype == "float32":
            continue
        other = target.model_copy(update={"float_dtype": dtype})
        try:
            other.runtime.check(other)
        except ValueError:
            continue
        halved.append(other)
    return tuple(halved)
