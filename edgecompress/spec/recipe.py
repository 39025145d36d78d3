"""Recipe: a Target and a DeployConfig, resolved into the plan that the stages carry out."""

from collections.abc import Sequence
from math import lcm

from edgecompress.errors import SpecError
from edgecompress.spec.base import Spec
from edgecompress.spec.deploy import (
    DEFAULT_DISTILLATION,
    DeployConfig,
    DistillSpec,
    PruneSpec,
    StructuredPruneSpec,
)
from edgecompress.spec.native import native_cpu
from edgecompress.spec.runtime import Positive
from edgecompress.spec.scheme import Activations, QuantizationScheme, Weights
from edgecompress.spec.target import Cpu, Target

_VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}


class Recipe(Spec):
    target: Target
    config: DeployConfig
    cpu: Cpu
    """Resolved: the board's, or this machine's for `cpu: native`."""
    scheme: QuantizationScheme
    """Resolved: the target's or the portable one, with the bits of the weights."""
    round_to: Positive
    """Resolved: the target's, or what suits all that share the portable scheme."""
    distill: DistillSpec | None
    """Resolved: what deploy.yaml says; the default when it prunes and says nothing."""


def resolve(target: Target, config: DeployConfig) -> Recipe:
    """`resolve_all` for one target."""
    return resolve_all((target,), config)[0]


def resolve_all(targets: Sequence[Target], config: DeployConfig) -> tuple[Recipe, ...]:
    """Check the wish against every board and fill in what follows from it.

    With `quantize.scheme: portable` all recipes have one scheme and one `round_to`, so that one
    training serves all the targets, whose files compute the same integers (compress.requantize).

    Raises:
        SpecError: a target gains nothing from the asked kind of sparsity.

    """
    recipes = tuple(_resolve(target, config) for target in targets)
    if config.quantize is None or not config.quantize.is_portable:
        return recipes
    shared = {
        "scheme": QuantizationScheme(
            activations=Activations(dtype="int8", scheme="symmetric"),
            weights=Weights(dtype="int8", granularity="per_channel", bits=7),
            scales="free",
            joins="shared",
        ),
        "round_to": lcm(*(recipe.round_to for recipe in recipes)),
    }
    return tuple(recipe.model_copy(update=shared) for recipe in recipes)


def _resolve(target: Target, config: DeployConfig) -> Recipe:
    prune = config.prune
    _check_gain(target, prune)
    if config.distill == "off":
        distill = None
    elif config.distill is None:
        distill = DEFAULT_DISTILLATION if prune is not None else None
    else:
        distill = config.distill
    cpu = native_cpu() if target.cpu == "native" else target.cpu
    return Recipe(
        target=target,
        config=config,
        cpu=cpu,
        scheme=_with_bits(target, cpu),
        round_to=target.round_to,
        distill=distill,
    )


def _check_gain(target: Target, prune: PruneSpec | None) -> None:
    asked: dict[str, str | None] = {}
    if prune is not None:
        asked["method"] = prune.method
    if isinstance(prune, StructuredPruneSpec):
        asked["then"] = prune.then
    for key, kind in asked.items():
        if kind is not None and kind not in target.sparsity:
            raise SpecError(
                f"prune.{key} '{kind}' gains nothing on target '{target.name}';"
                f" supported there: {', '.join(target.sparsity) or 'none'}"
            )


def trains_again(recipe: Recipe, before: Sequence[Recipe]) -> tuple[str, ...]:
    """Why a target of the same deploy cannot use what was trained for those before it; empty where
    it can.
    """
    if recipe.config.quantize is None or not before:
        return ()
    if (recipe.scheme, recipe.round_to) in [(other.scheme, other.round_to) for other in before]:
        return ()
    return (
        f"{recipe.target.name} wants {_in_words(recipe)}, {before[0].target.name}"
        f" {_in_words(before[0])}: it is trained again; quantize.scheme: portable would train once"
        " for all",
    )


def _in_words(recipe: Recipe) -> str:
    activations, weights = recipe.scheme.activations, recipe.scheme.weights
    parts = [
        f"{activations.dtype} {activations.scheme} activations",
        f"{weights.bits}-bit weights {weights.granularity.replace('_', ' ')}",
    ]
    if recipe.scheme.joins != "free":
        parts.append(f"{recipe.scheme.joins} joins")
    if recipe.scheme.outputs != "int8":
        parts.append("layers that write floats where only floats read them")
    return f"{', '.join(parts)} and multiples of {recipe.round_to} channels"


def weight_bits(target: Target) -> int:
    """Bits of a weight on `target`, as resolved on this machine for `cpu: native`."""
    cpu = native_cpu() if target.cpu == "native" else target.cpu
    bits = _with_bits(target, cpu).weights.bits
    return 8 if bits is None else bits


def _with_bits(target: Target, cpu: Cpu) -> QuantizationScheme:
    """x86 without VNNI multiplies uint8 by int8 with vpmaddubsw, which adds two products in 16
    bits and saturates: 8-bit weights then give wrong sums (seen: outputs 34 steps off), 7-bit
    weights cannot (2 * 255 * 63 < 2^15).
    """
    scheme = target.quantization
    if scheme.weights.bits is not None:
        return scheme
    saturates = (
        scheme.activations.dtype in target.runtime.capabilities.saturates_without_vnni
        and cpu.architecture == "x86_64"
        and not _VNNI & set(cpu.features)
    )
    weights = scheme.weights.model_copy(update={"bits": 7 if saturates else 8})
    return scheme.model_copy(update={"weights": weights})
