"""Recipe: a Target and a DeployConfig, resolved into the plan that the stages carry out."""

from edgecompress.errors import SpecError
from edgecompress.spec.base import Spec
from edgecompress.spec.deploy import DEFAULT_DISTILLATION, DeployConfig, DistillSpec
from edgecompress.spec.target import Target


class Recipe(Spec):
    target: Target
    config: DeployConfig
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
    return Recipe(target=target, config=config, distill=distill)
