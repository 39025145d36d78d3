"""One line of a verdict."""

from dataclasses import dataclass

from edgecompress.spec.report import Status


@dataclass(frozen=True)
class Check:
    status: Status
    text: str


def check(holds: bool, text: str) -> Check:
    return Check("pass" if holds else "fail", text)
