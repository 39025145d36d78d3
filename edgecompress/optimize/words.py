"""A recipe in words: a line for people, and the methods that it is made of."""

from edgecompress.optimize.space import training_of
from edgecompress.spec.deploy import DeployConfig, QuantizeSpec, StructuredPruneSpec

SWITCHES = {
    "equalise": "equalisation",
    "correct_biases": "bias correction",
    "train_scales": "learned scales",
}
"""Keys of `quantize` that are on or off, in words."""


def words_of(config: DeployConfig) -> str:
    """'pruned 2x by taylor, uniform; 4 epochs in float, 2 in int8; minmax ranges'"""
    if config.prune is None and config.finetune is None and config.quantize is None:
        return "the original in float"
    parts = [_pruning(config)]
    trained = [
        f"{part.epochs} {'in int8' if name == 'quantize' else 'in float'} by {part.optimizer}"
        for name, part in training_of(config).items()
    ]
    if trained:
        parts.append(f"epochs: {', '.join(trained)}{', distilled' * _distils(config)}")
    parts.append("float" if config.quantize is None else ", ".join(_quantising(config.quantize)))
    return "; ".join(part for part in parts if part)


def _quantising(quantize: QuantizeSpec) -> list[str]:
    found = ["int8", f"{quantize.ranges} ranges"]
    found += [words for name, words in SWITCHES.items() if getattr(quantize, name)]
    return found + ["adaptive rounding"] * (quantize.rounding == "adaptive")


def _pruning(config: DeployConfig) -> str:
    prune = config.prune
    if prune is None:
        return ""
    if not isinstance(prune, StructuredPruneSpec):
        return f"{prune.method} sparsity"
    how, ratio = f"by {prune.importance}, {prune.allocation}", prune.pruning_ratio
    how += ", through operators" * (prune.reach == "operators")
    blocks = f", without {prune.remove_blocks} blocks" if prune.remove_blocks else ""
    if not prune.cuts_channels:
        return f"pruned{blocks}"
    if prune.macs_reduction is not None:
        size = f"{prune.macs_reduction:g}x"
    elif prune.latency_reduction is not None:
        size = f"{prune.latency_reduction:g}x in latency"
    else:
        size = "layer by layer" if isinstance(ratio, dict) else f"by {ratio:.0%}"
    return f"pruned {size} {how}{blocks}"


def methods_of(config: DeployConfig) -> tuple[str, ...]:
    """Each under the name that a report compares recipes with it and without it by."""
    found = []
    prune, quantize = config.prune, config.quantize
    if isinstance(prune, StructuredPruneSpec):
        if prune.cuts_channels:
            found += ["pruning", f"{prune.importance} importance", f"{prune.allocation} allocation"]
            found += ["pruning through operators"] * (prune.reach == "operators")
        found += ["whole blocks"] * bool(prune.remove_blocks)
    elif prune is not None:
        found.append(f"{prune.method} sparsity")
    if config.finetune is not None:
        found.append("fine-tuning in float")
    if quantize is not None:
        found.append(f"{quantize.ranges} ranges")
        found += [words for name, words in SWITCHES.items() if getattr(quantize, name)]
        found += ["adaptive rounding"] * (quantize.rounding == "adaptive")
        found += ["QAT"] * (quantize.train is not None)
    if any(part.ema_decay is not None for part in training_of(config).values()):
        found.append("averaged weights")
    if _distils(config):
        found.append("distillation")
    return tuple(found)


def _distils(config: DeployConfig) -> bool:
    if not training_of(config) or config.distill == "off":
        return False
    return config.distill is not None or config.prune is not None
