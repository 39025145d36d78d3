"""How far the executions of one model agree, from the one that was trained to the file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import ModelError
from edgecompress.measure.meter import Meter
from edgecompress.measure.tensors import Array
from edgecompress.spec.measurement import Hop, HopKind, Parity

InOrder = Callable[[list[Array], list[Array]], list[Array]]
"""Puts outputs so that they can be compared with a reference's, which are given first."""


@dataclass(frozen=True)
class Execution:
    """Outputs of one execution of a model, batch by batch over the evaluation set."""

    name: str
    outputs: Iterator[list[Array]]
    hop: HopKind | None = None
    """The hop that it is the end of; None: it is where the way begins, or beside it."""
    may_end: bool = False
    """It need not run all of the set: it only explains what is seen elsewhere."""


@dataclass(frozen=True)
class Executions:
    """The executions that a file is compared with."""

    before: Sequence[Execution] = ()
    """One torch model, or the trained one, the converted one, and maybe the file under reference
    kernels."""
    unquantized: Execution | None = None
    """The weights of the first of them in float: what differs from it is what quantising costs."""
    original: Execution | None = None
    """The model as the user gave it."""
    file_hop: HopKind = "exported"
    """The hop that the file itself is the end of."""


class ParityChain:
    """The agreement of every execution with the next, up to that of the file itself."""

    def __init__(
        self,
        artifact: Artifact,
        executions: Executions,
        *,
        gives_scores: bool = True,
        in_order: InOrder | None = None,
    ) -> None:
        """Nothing is compared so far.

        Args:
            artifact: the file.
            executions: what it is compared with.
            gives_scores: whether the highest number of an output [N, C] is an answer.
            in_order: None: outputs have an order that does not change.

        """
        self._in_order = in_order

        def meter(against: Execution) -> Meter:
            return Meter.of(artifact, against.name, gives_scores=gives_scores)

        self._executions = executions
        before = executions.before
        self._kinds = [*(execution.hop for execution in before), executions.file_hop][1:]
        self._meters = [meter(execution) for execution in before]
        self._whole = meter(before[0]) if before else None
        original = executions.original
        self._original = None if original is None else meter(original)
        self._batches = 0

    def add(self, outputs: list[Array]) -> None:
        """One batch of the file's; the others' are drawn.

        Raises:
            ModelError: another execution has fewer batches, or outputs of other shapes.

        """
        executions = self._executions
        before = [self._next(execution) for execution in executions.before]
        first = before[0] if before else None
        last = self._put(first, outputs)
        steps = [*(None if x is None else self._put(first, x) for x in before), last]
        unquantized = self._next(executions.unquantized)
        noise = None
        if unquantized is not None and first is not None:
            old = self._put(first, unquantized)
            noise = [_changed(*pair) for pair in zip(first, old, strict=True)]
        for meter, (expected, actual) in zip(self._meters, pairwise(steps), strict=True):
            if expected is not None and actual is not None:
                meter.add(expected, actual, noise)
        if self._whole is not None and first is not None:
            self._whole.add(first, last, noise)
        original = self._next(executions.original)
        if self._original is not None and original is not None:
            self._original.add(original, self._put(original, outputs))
        self._batches += 1

    def _put(self, reference: list[Array] | None, outputs: list[Array]) -> list[Array]:
        if self._in_order is None or reference is None or outputs is reference:
            return outputs
        return self._in_order(reference, outputs)

    def _next(self, execution: Execution | None) -> list[Array] | None:
        outputs = None if execution is None else next(execution.outputs, None)
        if execution is not None and outputs is None and not execution.may_end:
            raise ModelError(f"parity with {execution.name}: it has only {self._batches} batches")
        return outputs

    def parity(self) -> Parity | None:
        """The agreement of the file with the first execution."""
        return None if self._whole is None else self._whole.result()

    def original(self) -> Parity | None:
        return None if self._original is None else self._original.result()

    def hops(self) -> tuple[Hop, ...]:
        return tuple(
            Hop(kind=kind, parity=meter.result())
            for kind, meter in zip(self._kinds, self._meters, strict=True)
            if kind is not None
        )


def _changed(new: Array, old: Array) -> Array:
    """The difference, or of what is no real number, whether there is one."""
    real = np.issubdtype(new.dtype, np.floating)
    return new.astype(np.float64) - old.astype(np.float64) if real else new != old
