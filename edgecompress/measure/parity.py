"""How far two executions of one model agree."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import ModelError, TaskError
from edgecompress.measure.tensors import Array
from edgecompress.spec.measurement import Hop, HopKind, Parity

INT8_STEPS = 255
"""Where an output has no scale, its largest magnitude is taken as that many steps."""


@dataclass(frozen=True)
class Execution:
    """Outputs of one execution of a model, batch by batch over the evaluation set."""

    name: str
    outputs: Iterator[list[Array]]


_HOPS: dict[int, tuple[HopKind, ...]] = {
    0: (),
    1: ("exported",),
    2: ("converted", "exported"),
    3: ("converted", "exported", "kernels"),
}
"""By the number of executions before the file's."""


class Way:
    """The agreement of every execution with the next, up to that of the file itself."""

    def __init__(self, artifact: Artifact, before: Sequence[Execution]) -> None:
        """`before`: one torch model, or the trained one, the converted one, and maybe the file
        under reference kernels.
        """
        self._before = before
        self._kinds = _HOPS[len(before)]
        self._meters = [Meter.of(artifact, execution.name) for execution in before]
        self._whole = Meter.of(artifact, before[0].name) if before else None
        self._batches = 0

    def add(self, outputs: list[Array]) -> None:
        """One batch of the file's; the others' are drawn.

        Raises:
            ModelError: another execution has fewer batches, or outputs of other shapes.

        """
        steps = [*(self._next(execution) for execution in self._before), outputs]
        for meter, (expected, actual) in zip(self._meters, pairwise(steps), strict=True):
            meter.add(expected, actual)
        if self._whole is not None:
            self._whole.add(steps[0], outputs)
        self._batches += 1

    def _next(self, execution: Execution) -> list[Array]:
        outputs = next(execution.outputs, None)
        if outputs is None:
            raise ModelError(f"parity with {execution.name}: it has only {self._batches} batches")
        return outputs

    def parity(self) -> Parity | None:
        """From the first execution to the file."""
        return None if self._whole is None else self._whole.result()

    def hops(self) -> tuple[Hop, ...]:
        return tuple(
            Hop(kind=kind, parity=meter.result())
            for kind, meter in zip(self._kinds, self._meters, strict=True)
        )


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
            difference / (magnitude / INT8_STEPS if scale is None else scale) if difference else 0.0
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
