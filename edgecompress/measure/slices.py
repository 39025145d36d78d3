"""What the metric loses on parts of the set that inputs have in common, and how outputs moved."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgecompress.measure.paired import TAIL, bootstrap, proportions
from edgecompress.measure.record import SEED, Record
from edgecompress.measure.tensors import Array
from edgecompress.spec.looks import InputKind, OutputShift, Slice

SHARE = 0.25
FEWEST = 20
"""Samples in a slice, of which an interval says something."""
MOST_COLUMNS = 8
MOST_OUTPUTS = 16
_MARGIN = 0.02
"""Beyond the candidate's range by so much of it, an output was cut off."""

Floats = NDArray[np.float64]


def traits(samples: Array, kind: InputKind) -> dict[str, Floats]:
    """[N] numbers of samples [N, ...] by which a set is sliced, by 'low end|high end'."""
    flat = samples.reshape(len(samples), -1).astype(np.float64)
    if kind == "image":
        return {"dark|bright": flat.mean(axis=1), "low contrast|high contrast": flat.std(axis=1)}
    if kind == "series":
        return {"quiet|loud": flat.std(axis=1)}
    if kind == "table":
        few = flat[:, :MOST_COLUMNS].T
        return {f"column {i} low|column {i} high": values for i, values in enumerate(few)}
    return {}


def slices(before: Record, after: Record, found: Mapping[str, Floats]) -> tuple[Slice, ...]:
    """The lowest and the highest quarter by each trait, the greatest loss first."""
    members = {}
    # A set that gave another number of samples than before was not the same.
    found = {name: values for name, values in found.items() if len(values) == before.samples}
    for name, values in found.items():
        order, count = np.argsort(values, kind="stable"), int(SHARE * len(values))
        ends = order[:count], order[len(order) - count :]
        for end, chosen in zip(name.split("|"), ends, strict=True):
            if count >= FEWEST and values[order[0]] < values[order[-1]]:
                members[end] = chosen
    rows = []
    for name, chosen in members.items():
        interval = _interval(before, after, chosen, TAIL / len(members))
        if interval is not None:
            drop, low, high = interval
            rows.append(Slice(name=name, samples=len(chosen), drop=drop, low=low, high=high))
    return tuple(sorted(rows, key=lambda row: -row.drop))


def _interval(
    before: Record, after: Record, chosen: NDArray[np.int64], tail: float
) -> tuple[float, float, float] | None:
    first, second = before.right, after.right
    if first is not None and second is not None:
        first, second = first[chosen], second[chosen]
        worse, better = int((first & ~second).sum()), int((~first & second).sum())
        return ((worse - better) / len(chosen), *proportions(worse, better, len(chosen), tail))
    if before.scores is None or after.scores is None or not before.is_mean:
        return None
    if not len(before.scores) == len(after.scores) == before.samples:
        return None
    differences = before.sign * (before.scores - after.scores)[chosen]
    low, high, _ = bootstrap(differences, np.ones(len(chosen)), SEED, tail)
    return float(differences.mean()), low, high


def shifts(before: Record, after: Record) -> tuple[OutputShift, ...]:
    """How single outputs moved, of a model without classes: there not their order counts."""
    first, second = before.outputs, after.outputs
    if before.labels is not None or first is None or second is None or before.is_sketch:
        return ()
    if first.shape != second.shape or len(first) < FEWEST:
        return ()
    rows = []
    for index in range(min(first.shape[1], MOST_OUTPUTS)):
        old, new = first[:, index].astype(np.float64), second[:, index].astype(np.float64)
        spread = float(old.std())
        if not spread > 0 or not np.isfinite(new).all():
            continue
        moved = (new - old) / spread
        reach = 1.645 * float(moved.std(ddof=1)) / len(moved) ** 0.5
        low, high, margin = new.min(), new.max(), _MARGIN * float(new.max() - new.min())
        rows.append(
            OutputShift(
                index=index,
                spread=spread,
                bias=float(moved.mean()),
                low=float(moved.mean()) - reach,
                high=float(moved.mean()) + reach,
                clipped=float(((old < low - margin) | (old > high + margin)).mean()),
            )
        )
    return tuple(rows)
