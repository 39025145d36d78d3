"""How far two executions agree."""

import numpy as np
import pytest

from edgecompress.errors import ModelError, TaskError
from edgecompress.measure.parity import parity


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
        ([scores([1, 2])], [], "one side has fewer batches"),
        ([], [scores([1, 2])], "one side has fewer batches"),
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
