"""What one file puts out for covered samples and for corrupted ones."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgecompress.measure.evaluate import Runs, infer_all, value_of
from edgecompress.measure.occlusion import responses
from edgecompress.measure.parts import Rebuild, Scored, update
from edgecompress.measure.record import Record
from edgecompress.measure.recorder import Recorder
from edgecompress.measure.seen import Seen
from edgecompress.measure.tensors import Array
from edgecompress.spec.measurement import Evaluation
from edgecompress.task import Batch, Task

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """One of two files."""

    runs: Runs
    record: Record
    rebuild: Rebuild


@dataclass
class Observed:
    """What came of a file."""

    answers: list[int | None] = field(default_factory=list)
    """The class of each covered sample, where there are classes."""
    changes: list[Floats] = field(default_factory=list)
    """[parts] of each: what covering them changed."""
    spoilt: dict[str, Record] = field(default_factory=dict)
    """Records by the name of a corruption."""
    inferences: int = 0


def observed(task: Task, side: Side, seen: Seen, answers: list[int | None] | None) -> Observed:
    """Run a file once over all that was made of the set.

    Args:
        task: gives the metric.
        side: the file.
        seen: the samples.
        answers: the other file's, whose scores count; None: this one's.

    Raises:
        TaskError, ModelError, ArtifactError, DeviceError: as in `evaluate`.

    """
    found, names = Observed(), []
    scorers: dict[str, _Scorer] = {}

    def fed() -> Iterator[Batch]:
        for name, batch in seen.batches():
            names.append(name)
            yield batch

    for at, (outputs, target) in enumerate(infer_all(side.runs, fed())):
        found.inferences += len(outputs[0])
        if (name := names[at]) is None:
            flat = _flat(outputs)
            own = int(flat[0].argmax()) if side.record.answers is not None else None
            answer = own if answers is None else answers[len(found.answers)]
            found.answers.append(own)
            found.changes.append(responses(flat, answer))
        else:
            scorers.setdefault(name, _Scorer(task, side)).add(Scored(outputs, target))
    found.spoilt = {name: scorer.record() for name, scorer in scorers.items()}
    return found


class _Scorer:
    """The metric of one corruption."""

    def __init__(self, task: Task, side: Side) -> None:
        self._task, self._side = task, side
        self._metric, self._recorder = task.metric(), Recorder(task, side.rebuild)
        self._samples = 0

    def add(self, batch: Scored) -> None:
        update(self._task, self._metric, self._side.rebuild, batch)
        self._recorder.add(batch)
        self._samples += batch.samples

    def record(self) -> Record:
        known = self._side.record
        return self._recorder.record(
            Evaluation(
                metric=type(self._metric).__name__,
                value=value_of(self._metric),
                higher_is_better=known.higher_is_better,
                samples=self._samples,
                is_share=known.is_share,
            ),
            self._metric,
        )


def _flat(outputs: list[Array]) -> Floats:
    """[N, all numbers]; what is infinite is as large as it can be."""
    flat = [each.reshape(len(each), -1).astype(np.float32) for each in outputs]
    return np.nan_to_num(np.concatenate(flat, axis=1)).astype(np.float64)
