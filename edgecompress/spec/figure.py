"""A number beside the limits that it is held against."""

from edgecompress.spec.base import Spec


class Figure(Spec):
    """What a check compares, and with which limit."""

    name: str
    """Units are in it, as in every key of a report."""
    value: float | None
    """None: it was not measured."""
    at_most: float | None = None
    at_least: float | None = None
