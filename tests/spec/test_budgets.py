"""How much of a metric may be lost, whoever asks."""

import math

import pytest

from edgecompress.spec.deploy import Budgets, excess_drop


@pytest.mark.parametrize(
    ("before", "after", "higher_is_better", "kept"),
    [
        (0.90, 0.89, True, True),  # which is more than 0.01 in float64
        (0.90, 0.8899, True, False),
        (0.90, 0.95, True, True),
        (2.00, 2.01, False, True),
        (2.00, 2.0101, False, False),
        (2.00, math.inf, False, False),
        (math.inf, math.inf, False, False),
        (0.90, math.nan, True, False),
        (math.nan, 0.90, True, False),
    ],
)
def test_what_is_no_number_is_never_kept(
    before: float, after: float, higher_is_better: bool, kept: bool
) -> None:
    budgets = Budgets(max_metric_drop=0.01)
    assert budgets.allow(before, after, higher_is_better=higher_is_better) == kept
    drop = before - after if higher_is_better else after - before
    assert (excess_drop(drop, 0.01, (before, after)) == 0.0) == kept
