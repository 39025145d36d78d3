"""What is found of a machine: one row for each thing that it needs."""

from typing import Literal

from edgecompress.spec.base import Spec


class Problem(Spec):
    text: str
    fix: str
    """A command where there is one, else what to do."""


class Row(Spec):
    name: str
    state: Literal["ok", "warning", "missing"]
    """missing: the target cannot be measured there. warning: it can, and something is amiss."""
    text: str
    fix: str | None = None
    """The line that mends it; None where the text says it, or nothing does."""


def ok(name: str, text: str) -> Row:
    return Row(name=name, state="ok", text=text)


def missing(name: str, text: str, fix: str | None = None) -> Row:
    return Row(name=name, state="missing", text=text, fix=fix)


def warning(name: str, text: str, fix: str | None = None) -> Row:
    return Row(name=name, state="warning", text=text, fix=fix)
