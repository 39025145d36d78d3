"""Who leaves a race early: the promised error rate, in simulated races; what is common cancels."""

import math

import numpy as np
import pytest

from edgecompress.measure.elimination import ERROR_RATE, FAR, leavers, student_t

ROUNDS = 4


def run(logs: np.ndarray) -> tuple[list[int], int]:
    """Who is left of [rounds, entrants], and how many turns that took."""
    rounds, entrants = logs.shape
    running, turns = list(range(entrants)), 0
    for done in range(1, rounds + 1):
        turns += len(running)
        if done < rounds:
            gone = leavers(logs[:done, running], rounds, entrants)
            running = [one for place, one in enumerate(running) if place not in gone]
    return running, turns


def races(count: int, spread: float, seed: int, alike: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """True logarithms [entrants] and what was seen of them [rounds, entrants]."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        entrants = int(generator.integers(3, 17))
        true = np.zeros(entrants) if alike else np.log(generator.uniform(1, 5, entrants))
        # A round may be slower as a whole, by a third.
        seen = generator.normal(0, 0.3, (ROUNDS, 1)) + true
        found.append((true, seen + generator.normal(0, spread, seen.shape)))
    return found


@pytest.mark.parametrize("spread", [0.003, 0.02, 0.08])
def test_the_fastest_is_left_and_half_of_the_turns_are_saved(spread: float) -> None:
    count, lost, turns, full = 300, 0, 0, 0
    for true, seen in races(count, spread, seed=1, alike=False):
        left, taken = run(seen)
        lost += int(true.argmin()) not in left
        turns, full = turns + taken, full + seen.size
    assert lost <= count * ERROR_RATE
    assert turns < 0.55 * full


@pytest.mark.parametrize("spread", [0.003, 0.02, 0.08])
def test_of_files_that_are_alike_hardly_one_leaves(spread: float) -> None:
    seen = [logs for _, logs in races(300, spread, seed=2, alike=True)]
    lost = sum(len(run(logs)[0]) < logs.shape[1] for logs in seen)
    assert lost <= 300 * ERROR_RATE


def test_one_round_knows_only_what_is_far_off() -> None:
    near, far = math.log(FAR * 0.99), math.log(FAR * 1.01)
    assert leavers(np.array([[0.0, near, far]]), ROUNDS, 3) == {2}


def test_a_slow_round_is_nobodys_fault() -> None:
    seen = np.array([[0.0, 0.1, 0.2], [1.0, 1.1, 1.2]])
    assert leavers(seen, ROUNDS, 3) == {1, 2}


@pytest.mark.parametrize(
    ("probability", "freedom", "exact"),
    [(0.975, 2, 4.303), (0.975, 5, 2.571), (0.999, 3, 10.215), (0.9995, 10, 4.587)],
)
def test_students_quantiles(probability: float, freedom: int, exact: float) -> None:
    """Never too small, which would let a file leave too early."""
    assert exact * 0.998 <= student_t(probability, freedom) <= exact * 1.1
