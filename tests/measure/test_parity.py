"""How far two executions agree, and all of those that a model has on its way to a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.errors import ModelError, TaskError
from edgecompress.measure.meter import Meter
from edgecompress.measure.parity import Execution, Executions, ParityChain
from edgecompress.measure.tensors import Array
from edgecompress.spec.measurement import HopKind, Parity


def parity(
    reference: Sequence[list[Array]],
    outputs: Sequence[list[Array]],
    scales: Sequence[float | None],
    name: str,
) -> Parity:
    meter = Meter(scales, name)
    for expected, actual in zip(reference, outputs, strict=True):
        meter.add(expected, actual)
    return meter.result()


def scores(*rows: list[float]) -> list[np.ndarray]:
    return [np.array(rows, "float32")]


def test_equal():
    batches = [scores([1, 2], [3, 1]), scores([0, 5])]
    found = parity(batches, batches, [0.5], "itself")
    assert (found.reference, found.samples) == ("itself", 3)
    assert (found.top1_agreement, found.max_output_steps) == (1.0, 0.0)


def test_agreement_and_steps_over_all_batches():
    reference = [scores([1, 2], [3, 1]), scores([0, 5], [1, 0])]
    outputs = [scores([1, 2.5], [3, 1]), scores([4, 3.5], [1, 0])]
    found = parity(reference, outputs, [0.5], "torch")
    assert found.top1_agreement == 0.75
    assert found.max_output_steps == 8.0


def test_no_scale_takes_the_largest_magnitude_of_the_whole_set():
    reference = [scores([1, 0.5]), scores([510, 0])]
    outputs = [scores([2, 0.5]), scores([510, 0])]
    assert parity(reference, outputs, [None], "torch").max_output_steps == pytest.approx(0.5)


def test_all_zero_reference_is_still_finite():
    found = parity([scores([0, 0])], [scores([0, 3])], [None], "torch")
    assert found.max_output_steps == pytest.approx(255)


def test_several_outputs_have_no_top1_and_each_its_scale():
    reference = [[np.zeros((2, 3), "float32"), np.zeros((2, 1), "uint8")]]
    outputs = [[np.full((2, 3), 0.5, "float32"), np.full((2, 1), 3, "uint8")]]
    found = parity(reference, outputs, [0.25, 1.0], "torch")
    assert found.top1_agreement is None
    assert found.max_output_steps == 3.0


@pytest.mark.parametrize("shape", [(2, 1), (2,), (2, 3, 4)])
def test_what_is_not_scores_has_no_top1(shape):
    batch = [[np.ones(shape, "float32")]]
    assert parity(batch, batch, [None], "torch").top1_agreement is None


@pytest.mark.parametrize(
    ("reference", "outputs", "message"),
    [
        ([scores([1, 2])], [scores([1, 2, 3])], r"outputs have shapes \[\(1, 3\)\]"),
        ([scores([1, 2])], [scores([1, np.nan])], "output 0 is not finite"),
        ([scores([1, np.inf])], [scores([1, 2])], "output 0 is not finite"),
    ],
)
def test_what_cannot_be_compared(reference, outputs, message):
    with pytest.raises(ModelError, match=f"parity with torch: {message}"):
        parity(reference, outputs, [None], "torch")


def test_empty():
    with pytest.raises(TaskError, match="the evaluation set is empty"):
        parity([], [], [None], "torch")


STEP = 0.5


def artifact() -> Artifact:
    """A file whose one output is in steps."""
    output = TensorInfo(name="y", shape=("n", 2), dtype="int8", scale=STEP, zero_point=0)
    return Artifact.model_construct(path=Path("model.onnx"), outputs=(output,))


def outputs(value: float, batches: int = 2) -> list[list[NDArray[np.float32]]]:
    return [[np.full((3, 2), value, "float32")] for _ in range(batches)]


def execution(
    name: str,
    steps: float,
    batches: int = 2,
    hop: HopKind | None = None,
    *,
    may_end: bool = False,
) -> Execution:
    return Execution(name, iter(outputs(steps * STEP, batches)), hop, may_end=may_end)


def gone(executions: Executions, steps: float = 7.0) -> ParityChain:
    """The way that ends in a file whose outputs are so many steps."""
    way = ParityChain(artifact(), executions)
    for batch in outputs(steps * STEP):
        way.add(batch)
    return way


@pytest.mark.parametrize(
    ("kinds", "apart"),
    [
        (["exported"], [7]),
        (["converted", "exported"], [1, 6]),
        (["exported", "kernels"], [1, 6]),
        (["converted", "exported", "kernels"], [1, 2, 4]),
    ],
)
def test_every_hop_and_the_whole_way(kinds: list[HopKind], apart: list[int]) -> None:
    names = ["trained", "converted", "reference kernels"][: len(kinds)]
    ends: list[HopKind | None] = [None, *kinds[:-1]]
    before = [
        execution(name, at, hop=end) for name, at, end in zip(names, (0, 1, 3), ends, strict=False)
    ]
    way = gone(Executions(before, file_hop=kinds[-1]))
    hops = way.hops()
    assert [hop.kind for hop in hops] == kinds
    assert [hop.parity.reference for hop in hops] == names
    assert [hop.parity.max_output_steps for hop in hops] == apart
    whole = way.parity()
    assert whole is not None
    assert (whole.reference, whole.samples, whole.max_output_steps) == ("trained", 6, 7)
    assert whole.noise_rms is None
    assert way.original() is None


def test_what_is_compared_with_nothing_has_no_parity() -> None:
    way = gone(Executions())
    assert (way.hops(), way.parity(), way.original()) == ((), None, None)


def test_the_original_is_compared_by_itself() -> None:
    unquantized = execution("in float", 1)
    way = gone(Executions([execution("trained", 2)], unquantized, execution("the original", 4)))
    original, whole = way.original(), way.parity()
    assert original is not None
    assert whole is not None
    assert (original.reference, original.max_output_steps) == ("the original", 3)
    # What quantising changed is the yardstick of the way, and not of the original.
    assert original.noise_rms is None
    assert whole.noise_rms == (STEP,)
    assert [hop.parity.noise_rms for hop in way.hops()] == [(STEP,)]


def test_of_classes_it_counts_how_many_quantising_changed() -> None:
    def classes(*values: int) -> list[NDArray[np.int64]]:
        return [np.array(values, "int64")[:, None]]

    trained = Execution("trained", iter([classes(1, 2, 3, 9)]))
    unquantized = Execution("float", iter([classes(1, 2, 3, 4)]))
    way = ParityChain(artifact(), Executions([trained], unquantized))
    way.add(classes(1, 2, 3, 9))
    whole = way.parity()
    assert whole is not None
    assert whole.noise_rms == (0.5,)


def test_what_only_explains_may_end_early_and_nothing_else_may() -> None:
    reference = execution("reference kernels", 3, 1, "exported", may_end=True)
    before = [execution("trained", 0), reference]
    way = gone(Executions(before, original=execution("the original", 0, 1, may_end=True)))
    whole, original = way.parity(), way.original()
    assert whole is not None
    assert original is not None
    assert (whole.samples, original.samples) == (6, 3)
    assert [hop.parity.samples for hop in way.hops()] == [3, 3]
    for executions in (
        Executions([execution("torch", 0, 1)]),
        Executions([execution("trained", 0)], unquantized=execution("torch", 0, 1)),
        Executions(original=execution("torch", 0, 1)),
    ):
        with pytest.raises(ModelError, match="parity with torch: it has only 1 batches"):
            gone(executions)
