"""What a push is asked for, and what a deploy is, read and checked whole; what may come of it.
Without torch, which takes seconds to load: whoever mistypes a key is told at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import SpecError
from edgecompress.measure import DEADLINE_S
from edgecompress.pipeline.on_device import find_device
from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_deploy, load_inventory, load_target
from edgecompress.spec.recipe import Recipe, resolve_all


@dataclass(frozen=True)
class DeployOrder:
    """What a deploy is to do; devices are found by the name of their target."""

    folder: Path
    """Where deploy.yaml lies."""
    wanted: DeployConfig
    recipes: tuple[Recipe, ...]
    sent_to: dict[str, Device]
    """The device that a target's model is pushed to and activated on."""
    measured_on: dict[str, Device]
    """The device that measures a target's files; a target that is not in here is not measured."""


@dataclass(frozen=True)
class TargetFailed:
    """What came of one target of a deploy, where that is no report."""

    target: str
    error: Exception


@dataclass(frozen=True)
class PushOrder:
    """Which run's model is to go to which devices, all as the user named them."""

    run: str
    """Its id, the beginning of one, or 'latest'; it lies in `runs/` beside `config`."""
    devices: tuple[str, ...]
    """Ids in the inventory."""
    config: Path
    """deploy.yaml, for the task's data and the budgets."""
    inventory: Path | None = None
    """Another file of devices."""
    deadline_s: float = DEADLINE_S
    """For one command, or one copy, of the validation on a device."""
    activates: bool = True
    """Whether the model is to be used there, or validated only."""


def deploy_order(
    config: Path, targets: Sequence[str], inventory: Path | None, device_ids: Sequence[str]
) -> DeployOrder:
    """Arguments as in `edgecompress.pipeline.deploy_all`.

    Raises:
        SpecError: a file, a target or a device that is not there or is not right.

    """
    wanted = load_deploy(config)
    recipes = resolve_all([load_target(name, config.parent) for name in targets], wanted)
    devices = load_inventory(inventory, config.parent)
    sent_to = _by_target(recipes, device_ids, inventory, config)
    names = [recipe.target.name for recipe in recipes]
    chosen = {name: sent_to.get(name) or devices.for_target(name) for name in names}
    measured_on = {name: device for name, device in chosen.items() if device is not None}
    return DeployOrder(config.parent, wanted, tuple(recipes), sent_to, measured_on)


def _by_target(
    recipes: Sequence[Recipe], device_ids: Sequence[str], inventory: Path | None, config: Path
) -> dict[str, Device]:
    """The device that each target's model is sent to, known before anything is trained."""
    targets = {recipe.target.name: recipe.target for recipe in recipes}
    sent_to: dict[str, Device] = {}
    for name in device_ids:
        device = find_device(name, inventory, config)
        if device.target not in targets:
            raise SpecError(
                f"--device {name} is of target '{device.target}', which is not deployed for;"
                f" add it: edgecompress deploy {device.target} --device {name}"
            )
        if device.target in sent_to:
            raise SpecError(
                f"--device {name}: {sent_to[device.target].id} is of the same target; deploy to"
                f" one, and then: edgecompress push latest {name}"
            )
        sent_to[device.target] = device
    return sent_to
