"""What is found of a machine: one row for each thing that it needs."""

from typing import Literal

from edgecompress.spec.base import Spec

UNMEASURED = "no device"
"""The note of a target that nothing in the inventory is for."""


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


class TargetHealth(Spec):
    name: str
    board: str
    problems: tuple[Problem, ...]
    """What keeps it from being deployed here."""
    notes: tuple[str, ...]


class TrainingHealth(Spec):
    """What a deploy started like this command would train on."""

    hardware: str
    """Device and precision: 'cuda:0 (NVIDIA H200), bfloat16'."""
    processes: int
    """More than one where a launcher started this command so."""
    accelerate: str | None
    """Its version; None: it is missing, and training takes one process."""


class Health(Spec):
    python: str
    machine: str | None
    cpu_model: str | None
    int8_features: tuple[str, ...]
    """Those of the CPU's that multiply and add int8 in one instruction."""
    governor: str | None
    """cpufreq's; None where the system does not say."""
    cuda: str | None
    """A GPU that torch sees, where it was loaded."""
    packages: dict[str, str | None]
    """Name to version of everything that edgecompress and its extras may need."""
    problems: tuple[Problem, ...]
    """Those that concern every target."""
    targets: tuple[TargetHealth, ...]
    training: TrainingHealth | None = None
