"""Rooms that are named like a call: `edgecompress.compress` is a package, and can be called as the
function of that name. This is found in `edgecompress.api` when it is called, because no room knows
that one.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

BOTH = ("compress", "measure", "push")


class _Room(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _function(self)(*args, **kwargs)

    # A notebook asks for these when somebody writes `edgecompress.compress?`.
    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # of the instance, not the class
        return _function(self).__doc__

    @property
    def __signature__(self) -> object:
        from inspect import signature

        return signature(_function(self))


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        """Called by Python with each room that was imported."""
        if name in BOTH and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


def make_rooms_callable(package: str) -> None:
    """From here on; before any room is imported."""
    sys.modules[package].__class__ = _Package


def _function(room: ModuleType) -> Callable[..., Any]:
    package, _, name = room.__name__.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(f"{package}.api"), name)
    return function
