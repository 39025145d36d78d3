"""A metric that is held against another's, and given up once it is lost."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgecompress import ClassificationTask
from edgecompress.compress.score import Limit, reference, validate
from edgecompress.task import Metric

BATCH, BATCHES = 4, 12


class Labels(ClassificationTask):
    """What a model is given says how it answers: class 0 is right, 1 wrong."""

    classes = 2

    def __init__(self, answers: Tensor) -> None:
        self.answers = answers
        self.seen = 0

    def model(self) -> nn.Module:
        return nn.Identity()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 2),)

    def train_data(self) -> list[tuple[Tensor, Tensor]]:
        return []

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        for part in self.answers.split(BATCH):
            self.seen += 1
            yield nn.functional.one_hot(part, 2).float(), torch.zeros(len(part), dtype=torch.long)


def answers(wrong: list[int]) -> Tensor:
    found = torch.zeros(BATCH * BATCHES, dtype=torch.long)
    found[wrong] = 1
    return found


def wrong_at(wrong: set[int]) -> Callable[[Tensor], Tensor]:
    """Runs a model that is wrong at these samples and right at all others."""
    at = 0

    def run(x: Tensor) -> Tensor:
        nonlocal at
        places = range(at, at + len(x))
        at += len(x)
        return nn.functional.one_hot(torch.tensor([int(p in wrong) for p in places]), 2).float()

    return run


samples = st.sets(st.integers(0, BATCH * BATCHES - 1))


@given(samples, samples, st.sampled_from([0.0, 0.1, 0.25]))
@settings(max_examples=60, deadline=None)
def test_what_is_given_up_could_not_have_been_kept_by_answers_like_the_floats(
    float_wrong: set[int], wrong: set[int], max_drop: float
) -> None:
    task = Labels(answers(sorted(float_wrong)))
    limit = Limit(task, reference(task, nn.Identity()), max_drop)
    assert limit.reference.metric == validate(nn.Identity(), task)
    # Wrong wherever the float model is, and more: it never gains on what is still to come.
    worse = wrong | float_wrong
    metric = 1 - len(worse) / (BATCH * BATCHES)
    kept = limit.kept_metric(wrong_at(worse))
    assert (kept is not None) == limit.holds(metric)
    assert kept is None or kept == pytest.approx(metric)


def test_a_bad_model_is_given_up_early_and_a_good_one_sees_all() -> None:
    task = Labels(answers([]))
    limit = Limit(task, reference(task, nn.Identity()), 0.1)
    task.seen = 0
    assert limit.kept_metric(wrong_at(set(range(BATCH * BATCHES)))) is None
    assert task.seen == 2
    task.seen = 0
    assert limit.kept_metric(wrong_at({5, 40})) == pytest.approx(46 / 48)
    assert task.seen == BATCHES


def test_a_metric_that_needs_all_data_is_asked_at_the_end() -> None:
    class Unready:
        higher_is_better = True

        def __init__(self) -> None:
            self.count = 0

        def update(self, outputs: Tensor, _: Tensor) -> None:
            self.count += len(outputs)

        def compute(self) -> float:
            if self.count < BATCH * BATCHES:
                raise ValueError("not yet")
            return 0.5

    class Late(Labels):
        def metric(self) -> Metric:
            return Unready()

    task = Late(answers([]))
    limit = Limit(task, reference(task, nn.Identity()), 0.0)
    assert limit.reference.beginnings == {BATCHES: (48, 0.5)}
    assert limit.kept_metric(nn.Identity()) == 0.5
