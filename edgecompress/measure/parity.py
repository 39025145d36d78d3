"""How far two executions of one model agree."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import ModelError, TaskError
from edgecompress.measure.tensors import Array
from edgecompress.spec.measurement import Parity

INT8_STEPS = 255
"""Where an output has no scale, its largest magnitude is taken as that many steps."""


def parity(
    reference: Iterable[list[Array]],
    outputs: Iterable[list[Array]],
    scales: Sequence[float | None],
    reference_name: str,
) -> Parity:
    """Compare batch by batch; only one batch of each is held at a time.

    Args:
        reference: per batch, one array per output, each [N, ...].
        outputs: the same from the other execution.
        scales: per output, the size of one step; None where it is float.
        reference_name: for the record.

    Raises:
        ModelError: numbers of batches, outputs or shapes differ, or a value is not a number.
        TaskError: there is no batch at all.

    """
    meter = Meter(scales, reference_name)
    for expected, actual in zip_longest(reference, outputs):
        if expected is None or actual is None:
            raise ModelError(f"parity with {reference_name}: one side has fewer batches")
        meter.add(expected, actual)
    return meter.result()


class Meter:
    """Adds up the agreement of two executions, batch by batch."""

    @classmethod
    def of(cls, artifact: Artifact, name: str) -> "Meter":
        """In steps of the outputs of `artifact`."""
        return cls([info.scale for info in artifact.outputs], name)

    def __init__(self, scales: Sequence[float | None], reference_name: str) -> None:
        self.scales = scales
        self.name = reference_name
        self.samples = 0
        self.agreed: int | None = 0
        self.differences = [0.0] * len(scales)
        self.magnitudes = [0.0] * len(scales)

    def add(self, expected: list[Array], actual: list[Array]) -> None:
        shapes = [[array.shape for array in side] for side in (expected, actual)]
        if shapes[0] != shapes[1] or len(expected) != len(self.scales):
            raise ModelError(
                f"parity with {self.name}: outputs have shapes {shapes[1]}, not {shapes[0]}"
            )
        for index, (want, have) in enumerate(zip(expected, actual, strict=True)):
            # In float64 also for integers and booleans, whose differences would wrap round.
            want64, have64 = want.astype(np.float64), have.astype(np.float64)
            difference = float(np.abs(want64 - have64).max(initial=0))
            if not np.isfinite(difference):
                raise ModelError(f"parity with {self.name}: output {index} is not finite")
            magnitude = max(float(np.abs(side).max(initial=0)) for side in (want64, have64))
            self.differences[index] = max(self.differences[index], difference)
            self.magnitudes[index] = max(self.magnitudes[index], magnitude)
        self.samples += len(expected[0])
        self._count_top1(expected, actual)

    def result(self) -> Parity:
        if not self.samples:
            raise TaskError(f"parity with {self.name}: the evaluation set is empty")
        steps = [
            difference / (scale or magnitude / INT8_STEPS) if difference else 0.0
            for difference, magnitude, scale in zip(
                self.differences, self.magnitudes, self.scales, strict=True
            )
        ]
        return Parity(
            reference=self.name,
            samples=self.samples,
            top1_agreement=None if self.agreed is None else self.agreed / self.samples,
            max_output_steps=max(steps),
        )

    def _count_top1(self, expected: list[Array], actual: list[Array]) -> None:
        is_scores = len(expected) == 1 and expected[0].ndim == 2 and expected[0].shape[1] > 1
        if not is_scores or self.agreed is None:
            self.agreed = None
            return
        same = expected[0].argmax(axis=1) == actual[0].argmax(axis=1)
        self.agreed += int(same.sum())
