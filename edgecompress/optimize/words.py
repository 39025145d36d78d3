"""A recipe in words: a line for people, and the methods that it is made of."""

from edgecompress.optimize.space import training_of
from edgecompress.spec.deploy import DeployConfig, StructuredPruneSpec


def words_of(config: DeployConfig) -> str:
    """'pruned 2x by taylor, uniform; 4 epochs in float, 2 in int8; minmax ranges'"""
    parts = [_pruning(config)]
    trained = [
        f"{part.epochs} {'in int8' if name == 'quantize' else 'in float'} by {part.optimizer}"
        for name, part in training_of(config).items()
    ]
    if trained:
        parts.append(f"epochs: {', '.join(trained)}{', distilled' * _distils(config)}")
    quantize = config.quantize
    parts.append("float" if quantize is None else f"int8, {quantize.ranges} ranges")
    return "; ".join(part for part in parts if part)


def _pruning(config: DeployConfig) -> str:
    prune = config.prune
    if prune is None:
        return ""
    if not isinstance(prune, StructuredPruneSpec):
        return f"{prune.method} sparsity"
    how = f"by {prune.importance}, {prune.allocation}"
    if prune.macs_reduction is not None:
        return f"pruned {prune.macs_reduction:g}x {how}"
    ratio = prune.pruning_ratio
    return f"pruned {'by layer' if isinstance(ratio, dict) else f'{ratio:.0%}'} {how}"


def methods_of(config: DeployConfig) -> tuple[str, ...]:
    """Each under the name that a report compares recipes with it and without it by."""
    found = []
    prune, quantize = config.prune, config.quantize
    if isinstance(prune, StructuredPruneSpec):
        found += ["pruning", f"{prune.importance} importance", f"{prune.allocation} allocation"]
    elif prune is not None:
        found.append(f"{prune.method} sparsity")
    if config.finetune is not None:
        found.append("fine-tuning in float")
    if quantize is not None:
        found.append(f"{quantize.ranges} ranges")
        if quantize.train is not None:
            found.append("QAT")
    if _distils(config):
        found.append("distillation")
    return tuple(found)


def _distils(config: DeployConfig) -> bool:
    if not training_of(config) or config.distill == "off":
        return False
    return config.distill is not None or config.prune is not None
