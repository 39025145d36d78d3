"""A runner whose device computes apart from the CPU, with a clock of its own."""

from __future__ import annotations

from abc import abstractmethod

from .runner import Runner


class AcceleratorRunner(Runner):
    """`infer` copies to the device, computes and copies back; the CPU's clock sees all three."""

    @abstractmethod
    def compute_ms(self) -> float:
        """The time of the last inference, without its copies, by the device's clock."""
