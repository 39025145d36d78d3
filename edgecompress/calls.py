"""The calls of `edgecompress.api`, as the package itself has them. Some are named like a room:
`edgecompress.compress` is a package, and can be called. A function is found when it is asked for,
because no room knows that one.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

_BOTH = ("compress", "measure", "push")
CALLS = ("compare", "evaluate", "inspect", *_BOTH)


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
        if name in _BOTH and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


def make_rooms_callable(package: str) -> None:
    """From here on; before any room is imported."""
    sys.modules[package].__class__ = _Package


def call_of(package: str, name: str) -> object:
    """What `package.name` is: a function, or a room that can be called."""
    if name in _BOTH:
        return import_module(f"{package}.{name}")
    return getattr(import_module(f"{package}.api"), name)


def _function(room: ModuleType) -> Callable[..., Any]:
    package, _, name = room.__name__.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(f"{package}.api"), name)
    return function
