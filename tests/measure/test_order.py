"""Outputs whose order rounding may change, compared number by number."""

from pathlib import Path

import numpy as np
import pytest

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.measure.order import in_order_of
from edgecompress.measure.parity import Execution, Executions, InOrder, ParityChain
from edgecompress.measure.tensors import Array
from edgecompress.spec.measurement import Parity
from edgecompress.task import DetectionTask, Task

PICTURES, PLACES = 300, 10


class Detecting(DetectionTask):
    classes = 2


class Plain(Task):
    pass


for task in (Detecting, Plain):
    # Nothing is asked of them but their order.
    task.__abstractmethods__ = frozenset()


def found() -> list[Array]:
    """Boxes far from one another, scores and classes, as a float file puts them out."""
    random = np.random.default_rng(0)
    corners = np.stack([random.permutation(PLACES) * 60 for _ in range(PICTURES)])
    start = np.stack([corners, corners * 0 + 10], 2) + random.random((PICTURES, PLACES, 2))
    scores = -np.sort(-random.uniform(0.1, 1, (PICTURES, PLACES)), 1)
    classes = random.integers(2, size=(PICTURES, PLACES))
    return [x.astype("float32") for x in (np.concatenate([start, start + 40], 2), scores, classes)]


def compared(reference: list[Array], outputs: list[Array], in_order: InOrder | None) -> Parity:
    info = [TensorInfo(name=f"{i}", shape=x.shape, dtype="float32") for i, x in enumerate(outputs)]
    file = Artifact(
        path=Path("x"), format="onnx", sha256="", size_bytes=0, inputs=(), outputs=tuple(info)
    )
    executions = Executions((Execution("torch", iter([reference])),))
    chain = ParityChain(file, executions, in_order=in_order)
    chain.add(outputs)
    parity = chain.parity()
    assert parity is not None
    return parity


def worst(parity: Parity) -> float:
    assert parity.error_to_noise is not None
    assert parity.worst_error_to_noise is not None
    return max(parity.error_to_noise, parity.worst_error_to_noise / 4)


def swapped(outputs: list[Array]) -> list[Array]:
    """Two boxes of nearly equal scores in one picture are in each other's places."""
    other = [x.copy() for x in outputs]
    for x in other:
        x[7, [3, 4]] = x[7, [4, 3]]
    other[1][7, 3:5] = outputs[1][7, 3:5]
    return other


def test_two_that_changed_places_are_no_damage() -> None:
    reference = found()
    reference[1][7, 4] = np.nextafter(reference[1][7, 3], np.float32(0))
    outputs = swapped(reference)
    assert worst(compared(reference, outputs, None)) > 1
    assert worst(compared(reference, outputs, in_order_of(Detecting()))) < 0.001


def test_one_that_is_just_missing_is_no_damage() -> None:
    reference = found()
    outputs = [x.copy() for x in reference]
    for x in (*reference, *outputs):
        x[:, 8:] = 0
    reference[1][7, 7] = 0.05
    for x in outputs:
        x[7, 7] = 0
    assert worst(compared(reference, outputs, in_order_of(Detecting()))) < 1


@pytest.mark.parametrize("what", ["elsewhere", "larger", "class", "score", "lost"])
def test_damage_is_seen(what: str) -> None:
    reference = found()
    outputs = [x.copy() for x in reference]
    boxes, scores, classes = outputs
    if what == "elsewhere":
        boxes += 30
    elif what == "larger":
        boxes[:, :, 2:] += 5
    elif what == "class":
        classes[:] = 1 - classes
    elif what == "score":
        scores *= 0.8
    else:
        for x in outputs:
            x[::20, 0] = 0
    assert worst(compared(reference, outputs, in_order_of(Detecting()))) > 1


def test_other_shapes_are_left_to_be_refused() -> None:
    reference = found()
    fewer = [x[:, :5] for x in reference]
    in_order = in_order_of(Detecting())
    assert in_order is not None
    assert [x.shape for x in in_order(reference, fewer)] == [x.shape for x in fewer]


def test_a_task_that_has_no_order_of_its_own_costs_nothing() -> None:
    assert in_order_of(Plain()) is None
