"""The making of one check of a verdict."""

from edgecompress.spec.figure import Figure
from edgecompress.spec.report import Check, CheckKind, Status


def check(kind: CheckKind, outcome: Status, text: str, *figures: Figure) -> Check:
    return Check(kind=kind, outcome=outcome, text=text, figures=figures)


def passed_if(holds: bool, kind: CheckKind, text: str, *figures: Figure) -> Check:
    return check(kind, "pass" if holds else "fail", text, *figures)


def at_most(name: str, value: float | None, limit: float | None) -> Figure:
    return Figure(name=name, value=value, at_most=limit)


def at_least(name: str, value: float | None, limit: float) -> Figure:
    return Figure(name=name, value=value, at_least=limit)
