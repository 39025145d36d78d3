"""One line of a verdict."""

from dataclasses import dataclass
from typing import Literal

from edgecompress.spec.report import Status

Kind = Literal[
    "finite",
    "metric",
    "parity",
    "constants",
    "size",
    "int8",
    "rules",
    "device",
    "speed",
    "memory",
    "budget",
    "push",
]
"""What is checked, for those who give advice."""


@dataclass(frozen=True)
class Check:
    kind: Kind
    status: Status
    text: str


def check(kind: Kind, holds: bool, text: str) -> Check:
    return Check(kind, "pass" if holds else "fail", text)
