"""What people already have, made into what `edgecompress.compress` takes: a file for each library.

None of these libraries is imported here. What is given is known by the names of its classes, so
its library is there already.
"""

from collections.abc import Callable
from importlib import import_module

from edgecompress.adapters.parts import Asked, Parts

_ADAPTERS = {
    "lightning.LightningModule": "lightning",
    "lightning.Trainer": "lightning",
    "pytorch_lightning.LightningModule": "lightning",
    "pytorch_lightning.Trainer": "lightning",
    "transformers.Trainer": "transformers",
    "ultralytics.Model": "ultralytics",
}
"""A class, by the package that it comes from -> the module here that knows it."""

__all__ = ["Asked", "Parts", "parts_of"]


def parts_of(asked: Asked) -> Parts:
    """Model, data and scoring of what a caller gave; what nobody here knows, as it is.

    Raises:
        TaskError: what is given lacks something, or is of a kind that cannot be done.

    """
    for base in type(asked.model).__mro__:
        adapter = _ADAPTERS.get(f"{base.__module__.partition('.')[0]}.{base.__name__}")
        if adapter is not None:
            adapt: Callable[[Asked], Parts]
            adapt = import_module(f"{__name__}.{adapter}").parts_of
            return adapt(asked)
    return Parts(asked.model, asked.evaluate, asked.train)
