"""What a push is asked for, and what a deploy is, read and checked whole; what may come of it.
Without torch, which takes seconds to load: whoever mistypes a key is told at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.errors import SpecError
from edgecompress.measure import DEADLINE_S
from edgecompress.pipeline.on_device import find_device
from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.device import Device, Inventory
from edgecompress.spec.latency import check_measured
from edgecompress.spec.load import load_deploy, load_inventory, load_targets
from edgecompress.spec.recipe import Recipe, resolve_all
from edgecompress.spec.target import Target, measured_by

if TYPE_CHECKING:
    from edgecompress.task.given import Given


@dataclass(frozen=True)
class TargetOrder:
    """One target of a deploy, or a board, on which several runtimes race."""

    name: str
    """As the user named it."""
    recipes: tuple[Recipe, ...]
    """One; or one for each of the board's runtimes that the device serves."""
    device: Device | None
    """What measures the files; None: nothing is measured."""
    is_board: bool
    """Whether it is the name of a board, whose runtimes race, and of no target."""
    pushes: bool
    """Whether the model is pushed to the device and activated there."""


@dataclass(frozen=True)
class Measured:
    """Where and how a deploy measures."""

    inventory: Path | None = None
    """The devices at hand; None: the one that comes with edgecompress."""
    devices: Sequence[str] = ()
    """Ids of those that the models are pushed to and activated on, at most one for a target; a
    target without is measured on the first of its devices, and nothing stays there.
    """
    protocol: str | None = None
    """How, in this run; None: as each target says."""
    accepts_regression: bool = False
    """Whether what is shown to be worse than what shipped before may ship; the report records it.
    """


HERE_AS_USUAL = Measured()


@dataclass(frozen=True)
class DeployOrder:
    """What a deploy is to do."""

    folder: Path
    """Where deploy.yaml lies."""
    wanted: DeployConfig
    targets: tuple[TargetOrder, ...]
    accepts_regression: bool = False
    """As in Measured."""
    given: "Given | None" = None
    """What is in the place of a task in a file."""


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
    made_by: DeployOrder | None = None
    """In the place of deploy.yaml: what made the run, where that was in this process."""


def deploy_order(config: Path, targets: Sequence[str], measured: Measured) -> DeployOrder:
    """Arguments as in `edgecompress.pipeline.deploy_all`.

    Raises:
        SpecError: a file, a target, a device or a protocol that is not there or is not right.

    """
    return order_of(load_deploy(config), config, targets, measured)


def order_of(
    wanted: DeployConfig, config: Path, targets: Sequence[str], measured: Measured
) -> DeployOrder:
    """The same for what is wanted; `config`: where its file lies, or would.

    Raises:
        SpecError: as in `deploy_order`.

    """
    inventory = measured.inventory
    named = {
        name: [measured_by(one, measured.protocol) for one in load_targets(name, config.parent)]
        for name in targets
    }
    recipes = iter(resolve_all([one for each in named.values() for one in each], wanted))
    of = {name: tuple(islice(recipes, len(each))) for name, each in named.items()}
    sent_to = _sent_to(named, measured.devices, inventory, config)
    devices = load_inventory(inventory, config.parent)
    orders = []
    for name in named:
        device = sent_to.get(name) or _first(devices, named[name])
        check_measured(wanted, name, device)
        served = tuple(one for one in of[name] if device is None or device.serves(one.target))
        is_board = all(one.target.board == name for one in of[name])
        orders.append(TargetOrder(name, served, device, is_board, pushes=name in sent_to))
    return DeployOrder(config.parent, wanted, tuple(orders), measured.accepts_regression)


def _first(devices: Inventory, targets: Sequence[Target]) -> Device | None:
    """The first device of the inventory that serves any of them."""
    serving = (one for one in devices.devices if any(map(one.serves, targets)))
    return next(serving, None)


def _sent_to(
    named: Mapping[str, Sequence[Target]],
    device_ids: Sequence[str],
    inventory: Path | None,
    config: Path,
) -> dict[str, Device]:
    """The device that each target's model is sent to, known before anything is trained."""
    sent_to: dict[str, Device] = {}
    for each in device_ids:
        device = find_device(each, inventory, config)
        name = next((name for name in named if any(map(device.serves, named[name]))), None)
        if name is None:
            raise SpecError(
                f"--device {each} is of target '{device.target}', which is not deployed for;"
                f" add it: edgecompress deploy {device.target} --device {each}"
            )
        if name in sent_to:
            raise SpecError(
                f"--device {each}: {sent_to[name].id} is of the same target; deploy to"
                f" one, and then: edgecompress push latest {each}"
            )
        sent_to[name] = device
    return sent_to
