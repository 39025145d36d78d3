"""Whether a candidate's file still looks at the same things as the original's.

Files have no gradients, so it is found by what they put out: where they differ, how sure they are,
what covering a part of the input changes, and on whom the loss falls.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecompress.measure.confidence import calibration
from edgecompress.measure.corruptions import corrupted
from edgecompress.measure.evaluate import Runs, infer_all, value_of
from edgecompress.measure.occlusion import (
    Covers,
    agreement,
    as_map,
    covers,
    fill_of,
    kind_of,
    responses,
)
from edgecompress.measure.parts import Rebuild, Scored, update
from edgecompress.measure.pictures import shown
from edgecompress.measure.record import Record, metric_change
from edgecompress.measure.recorder import Recorder
from edgecompress.measure.slices import shifts, slices, traits
from edgecompress.measure.tensors import Array
from edgecompress.spec.looks import (
    Answer,
    Corruption,
    Exemplar,
    InputKind,
    Looks,
    Occlusion,
    Part,
    Shown,
)
from edgecompress.spec.measurement import Evaluation
from edgecompress.task import Batch, Task
from edgecompress.task.base import inputs_of

EXEMPLARS = 6
FEWEST_INFERENCES, MOST_INFERENCES = 200, 400
"""Inferences of each file for occlusion; between them two fifths of the evaluation set."""
MOST_SPOILT = 256
"""Samples of which corrupted ones are made."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """One of the two files."""

    runs: Runs
    record: Record
    rebuild: Rebuild


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


@dataclass
class _Seen:
    """What one pass over the evaluation set keeps of it."""

    at: int | None
    """Which input is looked at."""
    kind: InputKind | None
    samples: dict[int, tuple[Tensor, ...]]
    """Whole inputs [1, ...] of chosen samples, by index."""
    traits: dict[str, list[Floats]]
    first: list[Batch]
    """Batches at the beginning, until there are enough to be corrupted."""

    def stack(self, index: int, cover: Covers) -> tuple[Tensor, ...]:
        """One sample whole and with each part covered, as a batch; other inputs stay."""
        assert self.at is not None
        all_of = np.concatenate([inputs[self.at].numpy() for inputs in self.samples.values()])
        inputs = self.samples[index]
        stacked = cover.stack(inputs[self.at][0].numpy(), fill_of(all_of, cover.kind))
        return tuple(
            torch.from_numpy(stacked)
            if at == self.at
            else each.expand(len(stacked), *each.shape[1:])
            for at, each in enumerate(inputs)
        )

    def spoilt(self) -> Iterator[tuple[str, Batch]]:
        """Each corruption of each batch at the beginning of the set."""
        if self.at is None or self.kind is None:
            return
        for inputs, target in self.first:
            for name, array in corrupted(inputs[self.at].numpy(), self.kind).items():
                changed = [*inputs]
                changed[self.at] = torch.from_numpy(array)
                yield name, (tuple(changed), target)

    def shown(self, index: int) -> Shown | None:
        """The sample, where its kind is known."""
        if self.at is None or self.kind is None:
            return None
        return shown(self.samples[index][self.at][0].numpy(), self.kind)


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
    allowed = min(MOST_INFERENCES, max(FEWEST_INFERENCES, 2 * before.samples // 5))
    # Evenly over the set: at most so many as could be covered in two parts each.
    evenly = np.linspace(0, before.samples - 1, min(before.samples, allowed // 3)).astype(int)
    seen = _pass(task, {index for index, _ in exemplars} | set(evenly.tolist()), spoils=spoils)
    chosen, cover = _covered(seen, evenly.tolist(), allowed)
    batches: list[Batch] = [(seen.stack(index, cover), None) for index in chosen if cover]
    spoilt = list(seen.spoilt()) if spoils else []
    batches += [batch for _, batch in spoilt]
    inferred = [
        [outputs for outputs, _ in infer_all(side.runs, batches)]
        for side in (pair.before, pair.after)
    ]
    stacked = [outputs[: len(chosen)] for outputs in inferred]
    occlusions, parts = (
        ((), ())
        if cover is None
        else occluded(pair, seen, cover, list(zip(chosen, *stacked, strict=True)))
    )
    agreed = [row.agreement for row in occlusions if row.agreement is not None]
    found = {name: np.concatenate(values) for name, values in seen.traits.items()}
    is_whole = all(len(values) == before.samples for values in found.values())
    return Looks(
        samples=before.samples,
        inferences=sum(len(inputs_of(batch)[0]) for batch in batches),
        calibration=calibration(before, after),
        exemplars=tuple(_exemplar(pair, seen, *each) for each in exemplars),
        occlusions=occlusions,
        agreement=float(np.median(agreed)) if agreed else None,
        parts=parts,
        slices=slices(before, after, found) if is_whole else (),
        shifts=shifts(before, after),
        robustness=_robustness(
            task, pair, spoilt, [outputs[len(chosen) :] for outputs in inferred]
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


def _pass(task: Task, wanted: set[int], *, spoils: bool) -> _Seen:
    seen = _Seen(None, None, {}, {}, [])
    start = 0
    for batch in task.eval_data():
        inputs = tuple(tensor.detach().cpu() for tensor in inputs_of(batch))
        arrays = [tensor.numpy() for tensor in inputs]
        if start == 0:
            kinds = [kind_of(array) for array in arrays]
            seen.at = next((at for at, kind in enumerate(kinds) if kind is not None), None)
            seen.kind = None if seen.at is None else kinds[seen.at]
        count = len(arrays[0])
        for index in wanted & set(range(start, start + count)):
            seen.samples[index] = tuple(each[index - start : index - start + 1] for each in inputs)
        if seen.at is not None and seen.kind is not None:
            for name, values in traits(arrays[seen.at], seen.kind).items():
                seen.traits.setdefault(name, []).append(values)
        if spoils and start < MOST_SPOILT:
            seen.first.append((inputs, batch[1]))
        start += count
    return seen


def _covered(seen: _Seen, evenly: list[int], allowed: int) -> tuple[list[int], Covers | None]:
    """Which samples are covered part by part, and how."""
    if seen.at is None or seen.kind is None:
        return [], None
    shapes = {seen.samples[index][seen.at].shape for index in evenly}
    if len(shapes) != 1:
        # Sizes differ from sample to sample: one cover does not fit all.
        return [], None
    cover = covers(seen.samples[evenly[0]][seen.at].numpy(), seen.kind)
    count = min(len(evenly), max(2, allowed // (1 + len(cover.masks))))
    steps = np.linspace(0, len(evenly) - 1, count).astype(int)
    return [evenly[step] for step in steps], cover


def occluded(
    pair: Pair, seen: _Seen, cover: Covers, found: list[tuple[int, list[Array], list[Array]]]
) -> tuple[tuple[Occlusion, ...], tuple[Part, ...]]:
    """Maps of both files, and how much they depend on each channel or column.

    Args:
        pair: both files.
        seen: the samples.
        cover: how each was covered.
        found: index of each sample, and what both files put out: it whole, then covered.

    """
    rows, has_classes = [], pair.before.record.answers is not None
    used = np.zeros((2, len(cover.channels)))
    for index, *outputs in found:
        first, second = (_flat(each) for each in outputs)
        answer = int(first[0].argmax()) if has_classes else None
        changes = [responses(each, answer) for each in (first, second)]
        places = cover.shape[0] * cover.shape[1]
        before, after = (each[:places] for each in changes)
        if len(cover.channels):
            used += [np.abs(each[-len(cover.channels) :]) for each in changes]
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
    totals = used.sum(axis=1, keepdims=True)
    shares = np.divide(used, totals, out=np.zeros_like(used), where=totals > 0)
    parts = tuple(
        Part(name=name, before=float(old), after=float(new))
        for name, old, new in zip(cover.channels, *shares, strict=True)
    )
    return tuple(rows), parts


def _flat(outputs: list[Array]) -> Floats:
    """[N, all numbers]."""
    return np.concatenate(
        [each.reshape(len(each), -1).astype(np.float64) for each in outputs], axis=1
    )


def _exemplar(pair: Pair, seen: _Seen, index: int, difference: float) -> Exemplar:
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


def _robustness(
    task: Task, pair: Pair, spoilt: list[tuple[str, Batch]], inferred: list[list[list[Array]]]
) -> tuple[Corruption, ...]:
    """The metric of both files on what was spoilt, and the interval of its drop between them."""
    rows = []
    for name in dict.fromkeys(name for name, _ in spoilt):
        records = []
        for side, outputs in zip((pair.before, pair.after), inferred, strict=True):
            batches = [
                Scored(arrays, target)
                for (each, (_, target)), arrays in zip(spoilt, outputs, strict=True)
                if each == name
            ]
            records.append(_record(task, side, batches))
        before, after = records
        change = metric_change(before, after)
        rows.append(
            Corruption(
                name=name,
                clean=pair.before.record.value,
                before=before.value,
                after=after.value,
                low=None if change is None else change.low,
                high=None if change is None else change.high,
            )
        )
    return tuple(rows)


def _record(task: Task, side: Side, batches: list[Scored]) -> Record:
    metric, recorder = task.metric(), Recorder(task, side.rebuild)
    for batch in batches:
        update(task, metric, side.rebuild, batch)
        recorder.add(batch)
    found = Evaluation(
        metric=type(metric).__name__,
        value=value_of(metric),
        higher_is_better=side.record.higher_is_better,
        samples=sum(batch.samples for batch in batches),
        is_share=side.record.is_share,
    )
    return recorder.record(found)
