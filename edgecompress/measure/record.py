"""What is kept of a file's answers, sample by sample, and the change from one file to another."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecompress.measure.paired import TAIL, bootstrap, jackknife, mcnemar, proportions
from edgecompress.measure.tensors import read_npz, write_npz
from edgecompress.spec.accuracy import AnswerChange, ClassChange, Confusion, MetricChange

SEED = 20_231
"""The resampling's: two runs of one comparison give one interval."""
SAME = 1e-5
"""Relative; metrics are computed in float32, and summed in another order here."""
MOST_CLASSES = 1000
MOST_PAIRS = 10

Integers = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Record:
    """One file on the evaluation set, [N] samples in the task's order.

    A few dozen bytes per sample, so that every file of a race can have one.
    """

    value: float
    """The task's metric."""
    higher_is_better: bool
    samples: int
    is_share: bool
    """The metric is between 0 and 1."""
    labels: Integers | None = None
    """[N], where the task has classes; as `answers` and `confidences`."""
    answers: Integers | None = None
    confidences: NDArray[np.float32] | None = None
    """[N] of the answers: the greatest probability, by a softmax unless the outputs are shares."""
    scores: Floats | None = None
    """[units], the metric of each sample, or of a few together, alone; None where it has none."""
    sizes: Integers | None = None
    """[units], samples in each of them."""
    left_out: Floats | None = None
    """[groups], the metric without each group of samples; None where the set is not divisible."""
    outputs: NDArray[np.float32] | None = None
    """[first samples, numbers]: the outputs, or where they are many a sketch of them in which
    distances stay what they are."""
    is_sketch: bool = False
    """Whether `outputs` are one."""

    @property
    def sign(self) -> float:
        """Makes a loss of the metric positive."""
        return 1.0 if self.higher_is_better else -1.0

    @property
    def right(self) -> NDArray[np.bool_] | None:
        """[N], whether each answer is right, where the metric is the share of those that are."""
        if self.labels is not None and self.answers is not None:
            right = np.equal(self.labels, self.answers)
            if self._is_share_of(right):
                return right
        if self.scores is None or len(self.scores) != self.samples:
            return None
        if not np.isin(self.scores, (0.0, 1.0)).all():
            return None
        right = self.scores == (1.0 if self.higher_is_better else 0.0)
        return right if self._is_share_of(right) else None

    def _is_share_of(self, right: NDArray[np.bool_]) -> bool:
        share = float(right.mean())
        return _same(share if self.higher_is_better else 1 - share, self.value)

    @property
    def is_mean(self) -> bool:
        """Whether the metric is the mean of what it is of the parts."""
        if self.scores is None or self.sizes is None:
            return False
        return _same(float(np.average(self.scores, weights=self.sizes)), self.value)


def write_record(record: Record, path: Path) -> Path:
    """Raises StorageError when it cannot be written."""
    pairs = ((each.name, getattr(record, each.name)) for each in fields(record))
    write_npz(path, {name: np.asarray(value) for name, value in pairs if value is not None})
    return path


def read_record(path: Path) -> Record:
    """Raises StorageError when it cannot be read."""
    arrays: dict[str, Any] = dict(read_npz(path))
    return Record(
        value=float(arrays["value"]),
        higher_is_better=bool(arrays["higher_is_better"]),
        samples=int(arrays["samples"]),
        is_share=bool(arrays["is_share"]),
        labels=arrays.get("labels"),
        answers=arrays.get("answers"),
        confidences=arrays.get("confidences"),
        scores=arrays.get("scores"),
        sizes=arrays.get("sizes"),
        left_out=arrays.get("left_out"),
        outputs=arrays.get("outputs"),
        is_sketch=bool(arrays["is_sketch"]),
    )


def metric_change(
    before: Record, after: Record, names: tuple[str, ...] | None = None
) -> MetricChange | None:
    """How much worse the second file's metric is, with an interval of the paired difference.

    Args:
        before: of the original.
        after: of the candidate, on the same samples.
        names: of the classes.

    Returns:
        None where the two are not of the same samples and metric, so that nothing is paired.

    """
    if (before.samples, before.higher_is_better) != (after.samples, after.higher_is_better):
        return None
    drop = before.sign * (before.value - after.value)
    found = _of_answers(before, after, drop) or _of_mean(before, after, drop)
    found = found or _of_groups(before, after, drop)
    if found is None:
        found = MetricChange(
            method="none", drop=drop, low=None, high=None, samples=before.samples, deviation=None
        )
    answers = found.answers or _answers(before, after)
    return found.model_copy(
        update={
            "answers": answers,
            "classes": class_changes(before, after, names),
            "confusions": confusions(before, after, names),
        }
    )


def _of_answers(before: Record, after: Record, drop: float) -> MetricChange | None:
    first, second = before.right, after.right
    if first is None or second is None:
        return None
    samples = before.samples
    worse, better = int((first & ~second).sum()), int((~first & second).sum())
    low, high = proportions(worse, better, samples)
    # One more than was seen: none of 500 does not mean that there never is one.
    variance = (worse + better + 1) / samples - drop**2
    return MetricChange(
        method="answers",
        drop=drop,
        low=low,
        high=high,
        samples=samples,
        deviation=max(variance, 0.0) ** 0.5,
    )


def _answers(before: Record, after: Record) -> AnswerChange | None:
    """What became of single answers, whatever the metric makes of them."""
    if before.answers is not None and after.answers is not None and before.labels is not None:
        first, second = before.answers == before.labels, after.answers == before.labels
        changed = int((before.answers != after.answers).sum())
    else:
        right, still = before.right, after.right
        if right is None or still is None:
            return None
        first, second, changed = right, still, None
    worse, better = int((first & ~second).sum()), int((~first & second).sum())
    return AnswerChange(
        changed=changed,
        right_to_wrong=worse,
        wrong_to_right=better,
        p_value=mcnemar(worse, better),
    )


def _of_mean(before: Record, after: Record, drop: float) -> MetricChange | None:
    if not (before.is_mean and after.is_mean) or not _same_units(before, after):
        return None
    assert before.scores is not None
    assert after.scores is not None
    assert before.sizes is not None
    if len(before.scores) < 2:
        return None
    differences = before.sign * (before.scores - after.scores)
    low, high, error = bootstrap(differences, before.sizes.astype(np.float64), SEED)
    if before.is_share and not differences.any():
        # No unit differs, of which a bootstrap knows nothing; the rule of three does.
        low, high = proportions(0, 0, len(differences))
        error = high
    return MetricChange(
        method="bootstrap",
        drop=drop,
        low=min(low, drop),
        high=max(high, drop),
        samples=before.samples,
        deviation=error * before.samples**0.5,
    )


def _of_groups(before: Record, after: Record, drop: float) -> MetricChange | None:
    first, second = before.left_out, after.left_out
    if first is None or second is None or len(first) != len(second) or len(first) < 2:
        return None
    low, high, error = jackknife(drop, before.sign * (first - second))
    return MetricChange(
        method="jackknife",
        drop=drop,
        low=low,
        high=high,
        samples=before.samples,
        deviation=error * before.samples**0.5,
    )


def class_changes(
    before: Record, after: Record, names: tuple[str, ...] | None
) -> tuple[ClassChange, ...]:
    """Recall of every class before and after, the greatest loss first."""
    if before.labels is None or before.answers is None or after.answers is None:
        return ()
    classes, counts = np.unique(before.labels, return_counts=True)
    rows = []
    for index, samples in zip(classes.tolist(), counts.tolist(), strict=True):
        of_class = before.labels == index
        first, second = before.answers[of_class] == index, after.answers[of_class] == index
        worse, better = int((first & ~second).sum()), int((~first & second).sum())
        low, high = proportions(worse, better, samples, TAIL / len(classes))
        rows.append(
            ClassChange(
                index=index,
                name=_name(index, names),
                samples=samples,
                recall_before=float(first.mean()),
                recall_after=float(second.mean()),
                low=low,
                high=high,
            )
        )
    rows.sort(key=lambda row: row.recall_after - row.recall_before)
    return tuple(rows[:MOST_CLASSES])


def confusions(
    before: Record, after: Record, names: tuple[str, ...] | None
) -> tuple[Confusion, ...]:
    """Pairs of classes that the second file takes for one another more often than the first."""
    labels, first, second = before.labels, before.answers, after.answers
    if labels is None or first is None or second is None:
        return ()
    classes, counts = np.unique(labels, return_counts=True)
    sizes = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    pairs = max(len(classes) * (len(classes) - 1) // 2, 1)
    lost = np.stack([labels, second])[:, (second != labels) & (first != second)]
    found, grown = np.unique(np.sort(lost, axis=0), axis=1, return_counts=True)
    rows = []
    for one, other in found[:, np.argsort(-grown, kind="stable")[:MOST_PAIRS]].T.tolist():
        old, new = (
            ((labels == one) & (answers == other)) | ((labels == other) & (answers == one))
            for answers in (first, second)
        )
        samples = sizes.get(one, 0) + sizes.get(other, 0)
        more, fewer = int((new & ~old).sum()), int((old & ~new).sum())
        low, high = proportions(more, fewer, samples, TAIL / pairs)
        rows.append(
            Confusion(
                names=(_name(one, names), _name(other, names)),
                samples=samples,
                before=int(old.sum()),
                after=int(new.sum()),
                low=low,
                high=high,
            )
        )
    return tuple(rows)


def _name(index: int, names: tuple[str, ...] | None) -> str:
    return names[index] if names is not None and index < len(names) else str(index)


def _same_units(before: Record, after: Record) -> bool:
    return (
        before.sizes is not None
        and after.sizes is not None
        and np.array_equal(before.sizes, after.sizes)
    )


def _same(value: float, other: float) -> bool:
    return abs(value - other) <= SAME * max(abs(value), abs(other), 1e-3)
