"""Recipe: a Target and a DeployConfig, resolved into the plan that the stages carry out."""

from edgecompress.errors import SpecError
from edgecompress.spec.base import Spec
from edgecompress.spec.deploy import DEFAULT_DISTILLATION, DeployConfig, DistillSpec
from edgecompress.spec.native import native_cpu
from edgecompress.spec.target import Cpu, QuantizationScheme, Target

_VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}


class Recipe(Spec):
    target: Target
    config: DeployConfig
    cpu: Cpu
    """Resolved: the board's, or this machine's for `cpu: native`."""
    scheme: QuantizationScheme
    """Resolved: the target's, with the bits of the weights."""
    distill: DistillSpec | None
    """Resolved: what deploy.yaml says; the default when it prunes and says nothing."""


def resolve(target: Target, config: DeployConfig) -> Recipe:
    """Check the wish against the board and fill in what follows from it.

    Raises:
        SpecError: the target gains nothing from the asked kind of sparsity.

    """
    prune = config.prune
    if prune is not None and prune.method not in target.sparsity:
        raise SpecError(
            f"prune.method '{prune.method}' gains nothing on target '{target.name}';"
            f" supported there: {', '.join(target.sparsity) or 'none'}"
        )
    if config.distill == "off":
        distill = None
    elif config.distill is None:
        distill = DEFAULT_DISTILLATION if prune is not None else None
    else:
        distill = config.distill
    cpu = native_cpu() if target.cpu == "native" else target.cpu
    scheme = _with_bits(target, cpu)
    return Recipe(target=target, config=config, cpu=cpu, scheme=scheme, distill=distill)


def weight_bits(target: Target) -> int:
    """Bits of a weight on `target`, as resolved on this machine for `cpu: native`."""
    cpu = native_cpu() if target.cpu == "native" else target.cpu
    return _with_bits(target, cpu).weights.bits or 8


def _with_bits(target: Target, cpu: Cpu) -> QuantizationScheme:
    """x86 without VNNI multiplies uint8 by int8 with vpmaddubsw, which adds two products in 16
    bits and saturates: 8-bit weights then give wrong sums (seen: outputs 34 steps off), 7-bit
    weights cannot (2 * 255 * 64 < 2^15).
    """
    scheme = target.quantization
    if scheme.weights.bits is not None:
        return scheme
    saturates = (
        target.runtime.name == "onnxruntime"
        and cpu.architecture == "x86_64"
        and scheme.activations.dtype == "uint8"
        and not _VNNI & set(cpu.features)
    )
    weights = scheme.weights.model_copy(update={"bits": 7 if saturates else 8})
    return scheme.model_copy(update={"weights": weights})
