"""What is run on a device to validate a file, in which order, and how far the metric is known."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx_files
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgecompress.errors import Refused
from edgecompress.measure.agent import DeviceAgent, Inference
from edgecompress.measure.evaluate import Runs
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.tensors import write_npz
from edgecompress.measure.validate import (
    GOLDEN,
    MAX_ERROR_TO_NOISE,
    MIN_SURE,
    SAMPLES,
    Sample,
    _interval,
    _is_rounding,
    draw,
    validate,
)
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.measurement import Parity
from edgecompress.task import Batch, ClassificationTask

FEATURES, CLASSES, SIZE, BATCHES = 8, 4, 40, 20
STEP = 0.25


class Board:
    """Infers in numpy, `off` by so much, in outputs of `classes`; notes what it was asked."""

    def __init__(self, weight: NDArray[np.float32], off: float = 0.0, classes: int = CLASSES):
        self.transport = type("ParityChain", (), {"name": "board"})
        self.asked: list[tuple[int, str]] = []
        self._weight, self._off, self._classes = weight, np.float32(off), classes

    def infer(self, loaded: Loaded, inference: Inference) -> None:
        with np.load(inference.inputs) as file:
            (x,) = (file[name] for name in file.files)
        self.asked.append((len(x), inference.kernels))
        scores = (x @ self._weight + self._off)[:, : self._classes]
        write_npz(inference.outputs, {"scores": scores})


class Many(ClassificationTask):
    """More than enough samples."""

    classes = CLASSES

    def model(self) -> nn.Module:
        return nn.Linear(FEATURES, CLASSES, bias=False)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, FEATURES),)

    def train_data(self) -> Iterable[Batch]:
        return self.eval_data()

    def eval_data(self) -> Iterable[Batch]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(BATCHES):
            yield torch.randn(SIZE, FEATURES, generator=generator), torch.arange(SIZE) % CLASSES


@pytest.fixture
def weight(tmp_path: Path) -> NDArray[np.float32]:
    return onnx_files.linear(tmp_path / "linear.onnx", FEATURES, CLASSES)


def runs(folder: Path, board: Board) -> Runs:
    file = onnx_files.loaded(folder / "linear.onnx", {"scores": (STEP, 0)})
    return Runs(cast("DeviceAgent", board), file, folder)


def drawn(folder: Path, board: Board, seed: int = 0) -> Sample:
    here = replace(runs(folder, board), kernels="reference")
    return draw(here, Many(), lambda outputs: outputs[0], seed)


def tried(folder: Path, sample: Sample, board: Board) -> list[int]:
    """Validates; how many samples the board had had each time that the lock was renewed."""
    seen: list[int] = []

    def alive() -> None:
        seen.append(sum(count for count, _ in board.asked))

    budgets = Budgets(max_metric_drop=1.0)
    validate(runs(folder, board), sample, budgets, alive)
    return seen


def test_whole_batches_are_drawn_until_there_are_enough(
    tmp_path: Path, weight: NDArray[np.float32]
) -> None:
    here = Board(weight)
    sample = drawn(tmp_path, here)
    assert len(sample.batches) == len(sample.outputs) == math.ceil(SAMPLES / SIZE)
    whole = [batch[0] for batch in Many().eval_data()]
    places = [
        next(i for i, images in enumerate(whole) if torch.equal(images, batch[0]))
        for batch in sample.batches
    ]
    assert places == sorted(set(places))
    assert places != list(range(len(places)))  # not just the first ones
    for batch, (scores,) in zip(sample.batches, sample.outputs, strict=True):
        np.testing.assert_allclose(scores, batch[0].numpy() @ weight, rtol=1e-5)
    again, other = drawn(tmp_path, Board(weight)), drawn(tmp_path, Board(weight), seed=1)
    assert [b[0].sum() for b in again.batches] == [b[0].sum() for b in sample.batches]
    assert [b[0].sum() for b in other.batches] != [b[0].sum() for b in sample.batches]
    assert {kernels for _, kernels in here.asked} == {"reference"}


def test_a_few_samples_go_first_and_the_lock_is_renewed_before_each(
    tmp_path: Path, weight: NDArray[np.float32]
) -> None:
    sample, board = drawn(tmp_path, Board(weight)), Board(weight)
    assert tried(tmp_path, sample, board) == [0, GOLDEN]
    assert sum(count for count, _ in board.asked) == GOLDEN + len(sample.batches) * SIZE
    assert {kernels for _, kernels in board.asked} == {"default"}


def test_a_runtime_that_computes_wrongly_is_found_before_many_are_sent(
    tmp_path: Path, weight: NDArray[np.float32]
) -> None:
    sample = drawn(tmp_path, Board(weight))
    tried(tmp_path, sample, Board(weight, off=15.9 * STEP))
    wrong = Board(weight, off=16.1 * STEP)
    with pytest.raises(Refused, match=r"board: golden outputs differ by 16\.1 steps .* on 8 samp"):
        tried(tmp_path, sample, wrong)
    assert [count for count, _ in wrong.asked] == [GOLDEN]


def test_outputs_of_another_shape_or_no_numbers_are_refused(
    tmp_path: Path, weight: NDArray[np.float32]
) -> None:
    sample = drawn(tmp_path, Board(weight))
    for board in (Board(weight, classes=CLASSES - 1), Board(weight, off=math.nan)):
        with pytest.raises(Refused, match="board: "):
            tried(tmp_path, sample, board)


@pytest.mark.parametrize(
    ("value", "samples", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0 / 20, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
        (29 / 29, 29, 0.8830, 1.0),
    ],
)
def test_the_interval_of_an_accuracy_is_wilsons(
    value: float, samples: int, low: float, high: float
) -> None:
    found = _interval("MulticlassAccuracy", value, samples)
    assert found == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))
    assert 0 <= cast("float", found[0]) <= cast("float", found[1]) <= 1


def test_no_interval_reaches_beyond_all_or_nothing() -> None:
    for samples in range(1, 500):
        for value in (0.0, 1.0):
            low, high = _interval("Accuracy", value, samples)
            assert low is not None
            assert high is not None
            assert 0 <= low < high <= 1


@pytest.mark.parametrize(
    ("changes", "rounding"),
    [
        ({}, True),
        ({"error_to_noise": MAX_ERROR_TO_NOISE}, True),
        ({"error_to_noise": 2.001}, False),
        ({"sure_agreement": MIN_SURE}, True),
        ({"sure_agreement": 0.989}, False),
        ({"noise_rms": None}, False),
        ({"error_to_noise": None}, False),
    ],
)
def test_what_rounding_explains_up_to_the_bound(changes: dict[str, Any], rounding: bool) -> None:
    known = {"noise_rms": (0.1,), "error_to_noise": 1.0}
    parity = Parity(reference="here", samples=9, top1_agreement=0.5, max_output_steps=99.0)
    assert _is_rounding(parity.model_copy(update={**known, **changes})) == rounding


@pytest.mark.parametrize(
    ("metric", "value"), [("MeanAbsoluteError", 0.5), ("Accuracy", 1.01), ("Accuracy", -0.01)]
)
def test_what_is_no_share_of_right_answers_has_no_interval(metric: str, value: float) -> None:
    assert _interval(metric, value, 100) == (None, None)
