"""Which samples of the evaluation data are measured with."""

import numpy as np
import pytest
import torch

from edgecompress.measure.inputs import MOST_SAMPLES
from edgecompress.pipeline.inputs import BATCHES, chosen


@pytest.mark.parametrize(("batches", "size"), [(1, 100), (2, 3), (40, 1), (6, 64)])
def test_different_samples_from_several_batches(batches, size):
    data = torch.arange(batches * size, dtype=torch.float32).reshape(batches, size, 1)
    drawn = []
    inputs = chosen((drawn.append(i) or (batch, None)) for i, batch in enumerate(data))
    assert inputs.split == "evaluation"
    numbers = [float(array.item()) for (array,) in inputs.samples]
    assert len(set(numbers)) == len(numbers) == min(MOST_SAMPLES, batches * size)
    assert len({number // size for number in numbers}) >= min(BATCHES, batches)
    # No more of a large set is read than that needs.
    assert len(drawn) <= max(BATCHES, MOST_SAMPLES // size)


def test_several_inputs_stay_together():
    a = torch.arange(8).reshape(8, 1)
    (first, second), *others = chosen([((a, a * 10), None)]).samples
    assert (first.shape, first.dtype) == ((1, 1), np.int64)
    assert all(b.item() == 10 * a.item() for a, b in [(first, second), *others])
