"""Adds up how two executions of one model differ, and what of it quantisation explains.

Two executions that round differently differ all the time, and small margins between classes flip
with it, so that neither a count of answers nor the largest difference tells rounding from a damaged
file. Quantising itself is the yardstick: e = sum (y - r)^2, the energy of the difference, is held
against n = sum (r - f)^2, what quantising changed (r fake-quantised, f the same weights in float),
plus the energy of rounding an output once, s^2 / 12 for a step s.

Kernels that round otherwise are another quantisation of the same network, not a worse one: in the
end e may be 2 n, but the file is as near to the float model as torch is. Damage d takes it away
from both: then e = d, and sum (y - f)^2 = n + d where it does not depend on the rounding. So of e
no more counts than twice what the distance from the float model has grown by.

For a class, a channel or a position of an output the same is done by itself, so that one that is
lost does not drown in a thousand others.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecompress.artifact import Artifact
from edgecompress.errors import ModelError, TaskError
from edgecompress.measure.tensors import Array
from edgecompress.spec.measurement import Parity

INT8_STEPS = 255
"""Where an output has no scale, its largest magnitude is taken as that many steps."""
SURE_SIGMAS = 4.0
"""An answer is sure where the best class leads by so many times the noise of a score. The noise of
a lead is sqrt(2) larger, so that of normal noise one sure answer in 400 flips."""
MISMATCH = 0.01
"""The share of outputs that are no real numbers (classes, masks) that is rounding at any rate."""
BORROWED = 16.0
"""Values of the usual noise that a channel's own is averaged with."""
LARGEST_DB = 150.0
"""More than float32 has: no difference at all."""

Vector = NDArray[np.float64]


class Meter:
    """Two executions, batch by batch."""

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        name: str,
        noise_rms: Sequence[float] | None = None,
        *,
        gives_scores: bool = True,
    ) -> "Meter":
        """A meter that counts in steps of the outputs of `artifact`."""
        scales = [info.scale for info in artifact.outputs]
        return cls(scales, name, noise_rms, gives_scores=gives_scores)

    def __init__(
        self,
        scales: Sequence[float | None],
        reference_name: str,
        noise_rms: Sequence[float] | None = None,
        *,
        gives_scores: bool = True,
    ) -> None:
        """Two executions.

        Args:
            scales: per output, the size of one step; None where it is float.
            reference_name: for the record.
            noise_rms: per output, as another Meter found it, where there is no noise to add.
            gives_scores: whether the highest number of an output [N, C] is an answer.

        """
        self.name = reference_name
        self.samples = 0
        known = [0.0] * len(scales) if noise_rms is None else noise_rms
        self._outputs = [_Output(scale, rms) for scale, rms in zip(scales, known, strict=True)]
        self._noise_rms = None if noise_rms is None else tuple(noise_rms)
        self._answers: _Answers | None = _Answers() if gives_scores else None

    def add(
        self, expected: list[Array], actual: list[Array], noise: list[Array] | None = None
    ) -> None:
        """One batch of each; every array is [N, ...].

        Args:
            expected: of the reference.
            actual: of the other execution.
            noise: what quantising changed: outputs of the fake-quantised graph less those of the
                same weights in float, True where other values came out of what is not real; None:
                nothing is quantised.

        Raises:
            ModelError: numbers of outputs or their shapes differ, or a value is not a number.

        """
        shapes = [[array.shape for array in side] for side in (expected, actual)]
        if shapes[0] != shapes[1] or len(expected) != len(self._outputs):
            raise ModelError(
                f"parity with {self.name}: outputs have shapes {shapes[1]}, not {shapes[0]}"
            )
        for index, (output, want, have) in enumerate(
            zip(self._outputs, expected, actual, strict=True)
        ):
            if not output.add(want, have, None if noise is None else noise[index]):
                raise ModelError(f"parity with {self.name}: output {index} is not finite")
        if noise is not None:
            self._noise_rms = tuple(output.noise_rms for output in self._outputs)
        self.samples += len(expected[0])
        is_scores = len(expected) == 1 and expected[0].ndim == 2 and expected[0].shape[1] > 1
        if not is_scores:
            self._answers = None
        elif self._answers is not None:
            self._answers.add(expected[0], actual[0])

    def result(self) -> Parity:
        """How far they agree. Raises TaskError when there was no sample at all."""
        if not self.samples:
            raise TaskError(f"parity with {self.name}: the evaluation set is empty")
        answers = self._answers
        sigma = self._outputs[0].sigma
        sure, agreed = (0, 0) if answers is None else answers.beyond(SURE_SIGMAS * sigma)
        return Parity(
            reference=self.name,
            samples=self.samples,
            top1_agreement=None if answers is None else answers.agreement,
            max_output_steps=max(output.steps for output in self._outputs),
            sure_samples=None if answers is None else sure,
            sure_agreement=agreed / sure if sure else None,
            error_to_noise=max(output.ratio for output in self._outputs),
            worst_error_to_noise=max(output.worst_ratio for output in self._outputs),
            noise_rms=self._noise_rms,
            sqnr_db=min(output.sqnr_db for output in self._outputs),
        )


class _Output:
    """Energies of one output, by channel: the second dimension."""

    def __init__(self, scale: float | None, known_rms: float) -> None:
        self._scale, self._known = scale, known_rms
        self._largest_difference = self._magnitude = self._signal = 0.0
        self._values = 0
        self._real = True
        self._error: Vector = np.zeros(0)
        self._noise: Vector = np.zeros(0)
        self._from_float: Vector = np.zeros(0)

    def add(self, want: Array, have: Array, noise: Array | None) -> bool:
        """False where a difference is not finite."""
        # In float64 also for integers and booleans, whose differences would wrap round.
        want64, have64 = want.astype(np.float64), have.astype(np.float64)
        difference = have64 - want64
        largest = float(np.abs(difference).max(initial=0))
        if not np.isfinite(largest):
            return False
        self._largest_difference = max(self._largest_difference, largest)
        for side in (want64, have64):
            self._magnitude = max(self._magnitude, float(np.abs(side).max(initial=0)))
        if not np.issubdtype(want.dtype, np.floating):
            # Between two classes there is no distance.
            self._real = False
            difference = (difference != 0).astype(np.float64)
        self._signal += float((want64**2).sum())
        self._values += want.size
        change = np.zeros_like(difference) if noise is None else noise.astype(np.float64)
        # Of classes: how often either changed.
        both = difference + change if self._real else np.maximum(difference, change)
        self._error = _summed(self._error, difference)
        self._noise = _summed(self._noise, change)
        self._from_float = _summed(self._from_float, both)
        return True

    @property
    def step(self) -> float:
        return self._magnitude / INT8_STEPS if self._scale is None else self._scale

    @property
    def steps(self) -> float:
        """The largest difference."""
        return self._largest_difference / self.step if self._largest_difference else 0.0

    @property
    def noise_rms(self) -> float:
        return math.sqrt(self._noise.sum() / max(self._values, 1))

    @property
    def _rounding(self) -> float:
        """Energy of one value that is rounded once, and of noise that was known before."""
        return self._known**2 + (self.step**2 / 12 if self._real else MISMATCH)

    @property
    def sigma(self) -> float:
        """Root mean square of what quantising and rounding do to a value."""
        return math.sqrt(self._noise.sum() / max(self._values, 1) + self._rounding)

    @property
    def ratio(self) -> float:
        """The error of all values."""
        sums = (self._error, self._noise, self._from_float)
        error, noise, from_float = (np.atleast_1d(each.sum()) for each in sums)
        return self._damage(error, noise, from_float)

    @property
    def worst_ratio(self) -> float:
        """The ratio of the channel that is furthest off.

        One of few values borrows noise from the others, as if it had seen that much of them: of a
        thousand channels with 16 values each some have a quarter of the usual noise by chance.
        """
        each = self._values / self._error.size
        usual = self._noise.sum() / max(self._values, 1)
        noise = (self._noise + BORROWED * usual) * each / (each + BORROWED)
        grown = self._from_float - self._noise
        return self._damage(self._error, noise, noise + grown)

    def _damage(self, error: Vector, noise: Vector, from_float: Vector) -> float:
        """The largest of what is not rounding, as a multiple of what quantising changed."""
        if not error.any():
            return 0.0
        grown = 2 * np.maximum(from_float - noise, 0)
        rounding = self._values / error.size * self._rounding
        return float((np.minimum(error, grown) / (noise + rounding)).max())

    @property
    def sqnr_db(self) -> float:
        error = float(self._error.sum())
        if not error:
            return LARGEST_DB
        if not self._signal:
            return -LARGEST_DB
        decibels = 10 * (math.log10(self._signal) - math.log10(error))
        return min(max(decibels, -LARGEST_DB), LARGEST_DB)


def _summed(sums: Vector, differences: Vector) -> Vector:
    """`sums` by channel [C], and the squares of [N, C, ...] added to them; where C is not the same
    in all batches, a sum of all [1].
    """
    rest = tuple(axis for axis in range(differences.ndim) if axis != 1)
    energies: Vector = np.atleast_1d((differences**2).sum(axis=rest))
    if sums.size in (0, energies.size):
        return energies if not sums.size else sums + energies
    return np.atleast_1d(sums.sum() + energies.sum())


class _Answers:
    """The best classes of both sides, and by how much the reference's leads."""

    def __init__(self) -> None:
        self._same: list[NDArray[np.bool_]] = []
        self._leads: list[Vector] = []

    def add(self, expected: Array, actual: Array) -> None:
        self._same.append(expected.argmax(axis=1) == actual.argmax(axis=1))
        second, best = np.moveaxis(np.partition(expected, -2, axis=1)[:, -2:], 1, 0)
        self._leads.append(best.astype(np.float64) - second.astype(np.float64))

    @property
    def agreement(self) -> float:
        same = np.concatenate(self._same)
        return float(same.mean())

    def beyond(self, lead: float) -> tuple[int, int]:
        """Samples whose best class leads by more, and those of them with the same answer."""
        sure = np.concatenate(self._leads) > lead
        return int(sure.sum()), int((sure & np.concatenate(self._same)).sum())
