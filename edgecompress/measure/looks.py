"""Whether a candidate's file still looks at the same things as the original's.

Files have no gradients, so it is found by what they put out: where they differ, how sure they are,
what covering a part of the input changes, and on whom the loss falls.
"""

from dataclasses import dataclass

import numpy as np

from edgecompress.measure.confidence import calibration
from edgecompress.measure.observed import Observed, Side, observed
from edgecompress.measure.occlusion import Covers, agreement, as_map
from edgecompress.measure.record import Record, metric_change
from edgecompress.measure.seen import Seen, gone_through
from edgecompress.measure.slices import shifts, slices
from edgecompress.spec.looks import Answer, Corruption, Exemplar, Looks, Occlusion, Part
from edgecompress.task import Task

EXEMPLARS = 6
FEWEST_INFERENCES, MOST_INFERENCES = 200, 400
"""Inferences of each file for occlusion; between them two fifths of the evaluation set."""
FEWEST_PARTS = 12
"""So many inferences are reckoned for a sample where it is not known yet what it takes."""


@dataclass(frozen=True)
class Pair:
    """The original's file and the candidate's."""

    before: Side
    after: Side
    labels: tuple[str, ...] | None = None

    def name(self, index: int | None) -> str:
        """What a class is called; '' for none."""
        if index is None:
            return ""
        known = self.labels is not None and index < len(self.labels)
        return self.labels[index] if known and self.labels is not None else str(index)

    def label(self, index: int) -> str:
        """What the task says of a sample."""
        labels = self.before.record.labels
        return self.name(None if labels is None else int(labels[index]))


def look(task: Task, pair: Pair, *, spoils: bool) -> Looks:
    """Everything at once, because each start of a runtime costs as much as hundreds of inferences.

    Args:
        task: guarded; its evaluation data is gone through once.
        pair: both files, with what was recorded when they were evaluated.
        spoils: whether the metric on corrupted inputs is wanted too.

    Raises:
        TaskError, ModelError, ArtifactError, DeviceError: as in `evaluate`.

    """
    before, after = pair.before.record, pair.after.record
    exemplars = most_different(before, after, EXEMPLARS)
    samples = before.samples
    fewest = min(FEWEST_INFERENCES, 2 * samples)
    allowed = min(MOST_INFERENCES, max(fewest, 2 * samples // 5))
    count = min(samples, max(2, allowed // FEWEST_PARTS))
    evenly = np.linspace(0, samples - 1, count).astype(int).tolist()
    seen = gone_through(task, {index for index, _ in exemplars} | set(evenly), spoils=spoils)
    seen.cover_some(evenly, allowed)
    first = observed(task, pair.before, seen, None)
    second = observed(task, pair.after, seen, first.answers)
    occlusions: tuple[Occlusion, ...] = ()
    parts: tuple[Part, ...] = ()
    if seen.cover is not None:
        occlusions = _maps(pair, seen, seen.cover, (first, second))
        parts = _parts(seen.cover, (first, second))
    agreed = [row.agreement for row in occlusions if row.agreement is not None]
    found = {name: np.concatenate(values) for name, values in seen.traits.items()}
    return Looks(
        samples=samples,
        inferences=first.inferences,
        calibration=calibration(before, after),
        exemplars=tuple(_exemplar(pair, seen, *each) for each in exemplars),
        occlusions=occlusions,
        agreement=float(np.median(agreed)) if agreed else None,
        parts=parts,
        slices=slices(before, after, found),
        shifts=shifts(before, after),
        robustness=tuple(
            _corruption(name, before.value, record, second.spoilt[name])
            for name, record in first.spoilt.items()
        ),
    )


def most_different(before: Record, after: Record, count: int) -> list[tuple[int, float]]:
    """Samples and how far their outputs differ: first those that only the original has right."""
    first, second = before.outputs, after.outputs
    if first is None or second is None or first.shape != second.shape:
        return []
    distances = np.linalg.norm((second - first).astype(np.float64), axis=1)
    usual = float(np.sqrt((distances**2).mean()))
    distances = np.nan_to_num(distances / usual if usual > 0 else distances)
    kept = len(distances)
    rank = np.zeros(kept)
    if before.answers is not None and after.answers is not None:
        rank += (before.answers != after.answers)[:kept]
    right, still = before.right, after.right
    if right is not None and still is not None:
        rank += (right & ~still)[:kept]
    order = np.lexsort((-distances, -rank))[:count]
    return [(int(index), float(distances[index])) for index in order if distances[index] > 0]


def _maps(
    pair: Pair, seen: Seen, cover: Covers, sides: tuple[Observed, Observed]
) -> tuple[Occlusion, ...]:
    places = cover.shape[0] * cover.shape[1]
    rows = []
    for index, *changes in zip(seen.covered, *(side.changes for side in sides), strict=True):
        before, after = (each[:places] for each in changes)
        rows.append(
            Occlusion(
                index=index,
                label=pair.label(index),
                before=as_map(before, cover.shape),
                after=as_map(after, cover.shape),
                agreement=agreement(before, after),
                shown=seen.shown(index),
            )
        )
    return tuple(rows)


def _parts(cover: Covers, sides: tuple[Observed, Observed]) -> tuple[Part, ...]:
    """How much both files depend on each channel or column."""
    if not cover.channels:
        return ()
    shares = []
    for side in sides:
        changes = np.abs([each[-len(cover.channels) :] for each in side.changes]).sum(axis=0)
        total = float(changes.sum())
        shares.append(changes / total if total > 0 else changes)
    return tuple(
        Part(name=name, before=float(old), after=float(new))
        for name, old, new in zip(cover.channels, *shares, strict=True)
    )


def _corruption(name: str, clean: float, before: Record, after: Record) -> Corruption:
    change = metric_change(before, after)
    return Corruption(
        name=name,
        clean=clean,
        before=before.value,
        after=after.value,
        low=None if change is None else change.low,
        high=None if change is None else change.high,
    )


def _exemplar(pair: Pair, seen: Seen, index: int, difference: float) -> Exemplar:
    return Exemplar(
        index=index,
        difference=difference,
        label=pair.label(index),
        before=_answer(pair, pair.before.record, index),
        after=_answer(pair, pair.after.record, index),
        shown=seen.shown(index),
    )


def _answer(pair: Pair, record: Record, index: int) -> Answer:
    if record.answers is None or record.confidences is None:
        return Answer(name="")
    return Answer(
        name=pair.name(int(record.answers[index])), confidence=float(record.confidences[index])
    )
