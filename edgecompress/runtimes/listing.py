"""What inspectors of any runtime ask of the operators that they list."""

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def reached(
    ordered: Iterable[T], neighbours: Callable[[T], Iterable[T]], computes: Callable[[T], bool]
) -> set[T]:
    """Operators that have one that computes somewhere on one side.

    Args:
        ordered: so that each comes after those on that side of it.
        neighbours: those next to an operator, on that side.
        computes: whether one does arithmetic on the model's data.

    """
    found: set[T] = set()
    for op in ordered:
        if any(other in found or computes(other) for other in neighbours(op)):
            found.add(op)
    return found
