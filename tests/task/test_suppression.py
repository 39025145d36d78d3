"""Non-maximum suppression as a module: the same boxes as one after the other."""

import pytest
import torch
from boxes import greedy, scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgecompress.compress.capture import program_of
from edgecompress.task import NonMaximumSuppression
from edgecompress.task.suppression import paired

Found = tuple[Tensor, Tensor, Tensor]


def row(scores: list[float]) -> tuple[Tensor, Tensor]:
    """Boxes in a row, each of which overlaps the next by 0.6 and no other by more than 0.34."""
    x = torch.arange(len(scores)) * 5.0
    boxes = torch.stack([x, torch.zeros_like(x), x + 20, torch.ones_like(x)], 1)
    return boxes[None], torch.tensor(scores)[None, :, None]


def falling(length: int) -> list[float]:
    return [1 - each / 100 for each in range(length)]


def places(found: Found) -> list[int]:
    """Where in the row of `row` those lie that are found."""
    boxes, scores, _ = found
    return (boxes[0, scores[0] > 0, 0] / 5).long().tolist()


@settings(deadline=None, max_examples=80)
@given(
    rows=st.integers(1, 25),
    classes=st.integers(1, 4),
    count=st.integers(1, 120),
    iou=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    score=st.sampled_from([0.0, 0.25, 0.5]),
    seed=st.integers(0, 2**32),
)
def test_it_is_what_one_after_the_other_gives(
    rows: int, classes: int, count: int, iou: float, score: float, seed: int
) -> None:
    boxes, scores = scenes(2, rows, classes, seed)
    suppress = NonMaximumSuppression(count, iou, score, candidates=100, steps=100)
    found = suppress(boxes, scores)
    many = min(count, rows * classes)
    assert [list(each.shape) for each in found] == [[2, many, 4], [2, many], [2, many]]
    for picture in range(2):
        stay = greedy(boxes[picture], scores[picture], iou, score)[:many]
        ours = [each[picture] for each in found]
        at, labels = torch.tensor(stay, dtype=torch.int64).reshape(-1, 2).T
        for mine, theirs in zip(
            ours, (boxes[picture][at], scores[picture][at, labels], labels.float()), strict=True
        ):
            assert torch.equal(mine[: len(stay)], theirs)
            assert not mine[len(stay) :].any()


@pytest.mark.parametrize("length", [1, 2, 7, 12])
def test_a_chain_is_settled_link_by_link(length: int) -> None:
    boxes, scores = row(falling(length))
    right = list(range(0, length, 2))
    suppress = NonMaximumSuppression(steps=max(length - 1, 1))
    assert suppress.steps_needed(boxes, scores) == length - 1
    assert places(suppress(boxes, scores)) == right
    for steps in range(1, length - 1):
        found = places(NonMaximumSuppression(steps=steps)(boxes, scores))
        # The first ones are right; of what follows, too many or too few.
        assert found[: steps // 2 + 1] == right[: steps // 2 + 1]
        assert set(found) >= set(right) if steps % 2 == 0 else set(found) <= set(right)


def test_where_scores_differ_in_other_ways_chains_are_short() -> None:
    boxes, scores = row([0.9, 0.8, 0.7, 0.95] * 5)
    suppress = NonMaximumSuppression(steps=3)
    assert suppress.steps_needed(boxes, scores) <= 3
    stay = [at for at, _ in greedy(boxes[0], scores[0], 0.5, 0.05)]
    assert places(suppress(boxes, scores)) == stay


def test_classes_do_not_suppress_each_other() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4]])[None]
    scores = torch.tensor([[0.9, 0.0], [0.3, 0.6]])[None]
    found, sure, classes = NonMaximumSuppression(count=3)(boxes, scores)
    assert sure[0].tolist() == pytest.approx([0.9, 0.6, 0.0])
    assert classes[0].tolist() == [0, 1, 0]
    assert found[0].tolist() == [[0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 0, 0]]


def test_only_the_best_are_looked_at() -> None:
    boxes, scores = scenes(3, 60, 5, seed=1)
    scores = scores.flatten(1).argsort(dim=1).argsort(dim=1).reshape(scores.shape) / 300
    least = scores.flatten(1).topk(40).values[:, -1:, None]
    few = NonMaximumSuppression(candidates=40)(boxes, scores)
    whole = NonMaximumSuppression(count=40)(boxes, torch.where(scores >= least, scores, 0.0))
    for one, other in zip(few, whole, strict=True):
        assert torch.equal(one, other)


def test_boxes_without_an_end_or_an_area_harm_nobody() -> None:
    inf, nan = float("inf"), float("nan")
    boxes = torch.tensor(
        [[[0.0, 0, 4, 4], [0, 0, inf, inf], [3, 3, 1, 1], [0, 0, 4, 3], [nan, 0, 4, 4]]]
    )
    scores = torch.tensor([[[0.5], [0.02], [0.9], [0.4], [0.01]]])
    found, sure, _ = NonMaximumSuppression()(boxes, scores)
    assert sure[0].tolist() == pytest.approx([0.9, 0.5, 0, 0, 0])
    assert found.isfinite().all()


def test_a_batch_of_any_size_is_one_graph() -> None:
    example = tuple(each[:1] for each in scenes(1, 9, 2, seed=0))
    program = program_of(NonMaximumSuppression(steps=2), example, free_batch=True)
    boxes, scores = scenes(5, 9, 2, seed=2)
    for one, other in zip(
        program.module()(boxes, scores), NonMaximumSuppression(steps=2)(boxes, scores), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"count": 0}, "count=0, candidates=300, steps=20: each must be 1 or more"),
        ({"iou": 45}, "iou=45 must be 0 to 1, and score=0.05 0 or more"),
        ({"score": float("nan")}, "iou=0.5 must be 0 to 1, and score=nan 0 or more"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(given: dict[str, float], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        NonMaximumSuppression(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("shapes", [((1, 5, 4), (1, 6, 2)), ((5, 4), (5, 2)), ((1, 5, 6), (1, 5))])
def test_other_shapes_are_named(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"takes boxes \[N, A, 4\] and scores .*, not \["):
        NonMaximumSuppression()(*(torch.zeros(shape) for shape in shapes))


# Two executions side by side


def listed(*boxes: tuple[float, float, int]) -> list[Tensor]:
    """Four places, of boxes of 10 by 10 pixels by their left side, score and class."""
    rows = torch.zeros(1, 4, 6)
    for at, (left, score, label) in enumerate(boxes):
        rows[0, at] = torch.tensor([left, 0, left + 10, 10, score, label])
    return [rows[:, :, :4], rows[:, :, 4], rows[:, :, 5]]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        # Two that changed places, both a little elsewhere.
        ([(51, 0.801, 1), (1, 0.799, 0)], [(1, 0.799, 0), (51, 0.801, 1)]),
        # One is suppressed there: it differs by its score.
        ([(50, 0.8, 1)], [(0, 0.0, 0), (50, 0.8, 1)]),
        # One more.
        (
            [(0, 0.8, 0), (90, 0.8, 0), (50, 0.8, 1)],
            [(0, 0.8, 0), (50, 0.8, 1), (-10, 0.8, 0)],
        ),
        # Another class, and another place, are another box.
        ([(0, 0.8, 2), (70, 0.8, 1)], [(0, 0.0, 0), (50, 0.0, 1), (-10, 0.8, 0), (-10, 0.8, 0)]),
        ([], [(0, 0.0, 0), (50, 0.0, 1)]),
    ],
)
def test_boxes_are_put_beside_those_that_they_overlap(
    found: list[tuple[float, float, int]], wanted: list[tuple[float, float, int]]
) -> None:
    put = paired(listed((0, 0.8, 0), (50, 0.8, 1)), listed(*found))
    right = listed(*wanted)
    # What is alone has no box.
    right[0][right[0][:, :, 0] < 0] = 0
    for one, other in zip(put, right, strict=True):
        assert torch.equal(one, other)


def test_numbers_that_are_none_are_left_to_be_told() -> None:
    broken = listed((0, float("nan"), 0))
    assert paired(listed((0, 0.8, 0)), broken) is broken
