"""`edgecompress optimize`: the search for a recipe; docs/optimize.md."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.errors import RuntimeMissing, SpecError
from edgecompress.packages import version_of
from edgecompress.pipeline.orders import DeployOrder, Measured, deploy_order
from edgecompress.progress import Progress

if TYPE_CHECKING:
    from edgecompress.optimize.whole import Found

DEFAULT_TIME = "30m"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_TIME = re.compile(r"(?=.)(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True)
class Asked:
    """How long to search, and where its trials are kept, as the user says it."""

    time: str | None = None
    """'90m', '2h', '1h30m'; None with `trials`: as long as those take; without: DEFAULT_TIME."""
    trials: int | None = None
    study: str | None = None
    """URL of a database; None: a file in runs/."""
    inventory: Path | None = None


def optimize(config: Path, board: str, asked: Asked, progress: Progress) -> "Found":
    """Search a recipe for a board, and deploy it.

    Args:
        config: deploy.yaml; results go to `runs/` beside it.
        board: its name, or a target's.
        asked: limits, and where to keep the trials.
        progress: told of every trial.

    Raises:
        SpecError: an option, a file or the name of the board.
        RuntimeMissing: optuna, or the driver of the database.
        BadInput: the task, the model or the data must change.
        DeviceError: the device, or the database.

    """
    limits = _limits(asked)
    order = deploy_order(config, [board], Measured(asked.inventory))
    return _whole(order, limits, asked.study, progress)


def search_for(order: DeployOrder, asked: Asked, progress: Progress) -> "Found":
    """The same for an order of one target, however it came about; raises what `optimize` does."""
    return _whole(order, _limits(asked), asked.study, progress)


def _limits(asked: Asked) -> tuple[float | None, int | None]:
    """Seconds and trials. Raises SpecError, or RuntimeMissing."""
    seconds = None
    if asked.time is not None or asked.trials is None:
        seconds = seconds_of(DEFAULT_TIME if asked.time is None else asked.time)
    if asked.trials is not None and asked.trials < 1:
        raise SpecError(f"--trials: must be 1 or more, not {asked.trials}")
    if version_of("optuna") is None:
        raise RuntimeMissing(
            "optimize: package 'optuna' is missing; pip install 'edgecompress[optimize]'"
        )
    return seconds, asked.trials


def _whole(
    order: DeployOrder,
    limits: tuple[float | None, int | None],
    study: str | None,
    progress: Progress,
) -> "Found":
    # These import torch and optuna.
    from edgecompress.optimize import whole
    from edgecompress.optimize.search import Limits

    return whole.optimize(order, Limits(*limits), study, progress)


def seconds_of(text: str) -> float:
    """'90m' or '1h30m'. Raises SpecError."""
    found = _TIME.fullmatch(text.strip())
    if found is not None:
        parts = zip(found.groups(), _UNITS.values(), strict=True)
        seconds = sum(float(number) * unit for number, unit in parts if number is not None)
        if seconds > 0:
            return seconds
    raise SpecError(f"--time '{text}': must be a time with its unit: 90m, 2h, 1h30m, 45s")
