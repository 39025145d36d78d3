"""What goes into an adapter, and what comes out."""

from dataclasses import dataclass, field
from typing import Any

from edgecompress.spec.preprocessing import Preprocessing
from edgecompress.task.given import Data, Scoring


@dataclass(frozen=True)
class Asked:
    """The arguments of `compress` that say what it is about."""

    model: Any
    train: Any = None
    evaluate: Any = None
    has_loss: bool = False
    """Whether the caller gives one of his own."""
    has_metric: bool = False


@dataclass(frozen=True)
class Parts:
    """What they mean. Whatever else the caller says goes before it."""

    model: Any
    evaluate: Data | None
    train: Data | None = None
    scoring: Scoring = field(default_factory=Scoring)
    title: str | None = None
    """What reports call it; None: as the model's class is called."""
    keep_float: tuple[str, ...] = ()
    """Modules that stay in float where the recipe names none."""
    preprocessing: Preprocessing | None = None
    """How an application prepares inputs such as those of `evaluate`, where that is known."""
