"""What of other libraries holds a model, its data, or both: as much as a type checker must know to
tell it from anything else. `edgecompress.adapters` knows the libraries.
"""

from collections.abc import Mapping
from typing import Any, Protocol


class DataModule(Protocol):
    """A LightningDataModule."""

    def setup(self, stage: str) -> None:
        """Make what the loaders are of."""

    # Whatever Lightning takes; which of it can be used is found out.
    def train_dataloader(self) -> Any:
        """What the module was trained on."""

    def val_dataloader(self) -> Any:
        """What it is evaluated on."""


class LoadedModule(Protocol):
    """A LightningModule with loaders of its own."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch."""

    def train_dataloader(self) -> Any:
        """What it was trained on."""

    def val_dataloader(self) -> Any:
        """What it is evaluated on."""


class LightningTrainer(Protocol):
    """A Trainer of Lightning's that has fitted a module."""

    def fit(self, model: Any) -> None:
        """What has been called."""


class HuggingFaceTrainer(Protocol):
    """A Trainer of transformers."""

    # Whatever that library takes and gives.
    def compute_loss(self, model: Any, inputs: Any) -> Any:
        """The loss by which it trains."""


class Detector(Protocol):
    """A YOLO of ultralytics."""

    @property
    def overrides(self) -> Mapping[str, Any]:
        """What it was trained with."""


Fitted = LoadedModule | LightningTrainer | HuggingFaceTrainer
"""What holds a trained model with its data."""
