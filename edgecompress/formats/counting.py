"""Multiply-accumulates by rules of a format's own, an operator type each."""

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

T = TypeVar("T")


class Uncountable(Exception):
    """The shapes that a count needs are not there, or the operator cannot be counted."""


def by_rule(
    op: T, op_type: str, rules: Mapping[str, Callable[[T], int]], refused: Collection[str]
) -> int:
    """MACs of one inference; sums and elementwise operators, which have no rule, count as 0.

    Args:
        op: whose shapes are known.
        op_type: of it.
        rules: type -> what counts one.
        refused: types that multiply, and nobody knows by how much.

    Raises:
        Uncountable: an operator that multiplies, but not by how much.

    """
    if op_type in refused:
        raise Uncountable(f"{op_type} is not known to edgecompress")
    rule = rules.get(op_type)
    try:
        return rule(op) if rule is not None else 0
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
        raise Uncountable("it breaks its operator's rules") from None
