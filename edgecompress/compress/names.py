"""Modules that a recipe names."""

from collections.abc import Iterable

from torch import nn

from edgecompress.errors import ModelError


def check_names(model: nn.Module, names: Iterable[str], key: str) -> None:
    """Raises ModelError, beginning with `key`, when one of `names` is no module of `model`."""
    known = {name for name, _ in model.named_modules()}
    for name in names:
        if name not in known:
            raise ModelError(
                f"{key}: '{name}' is no module of {type(model).__name__};"
                f" known: {', '.join(sorted(known - {''})[:12])}.."
            )
