"""What a device may do otherwise than this machine: every limit, from both sides."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx_files
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.regression import MeanAbsoluteError

from edgecompress.errors import Refused
from edgecompress.measure.agent import DeviceAgent, Inference
from edgecompress.measure.evaluate import Runs
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.tensors import write_npz
from edgecompress.measure.validate import GOLDEN, draw, validate
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.pushed import Validation
from edgecompress.task import Batch, ClassificationTask, Task

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]
FEATURES, CLASSES, SAMPLES = 8, 4, 100
STEP = 0.25
"""The scale of the file's output."""


class Board:
    """Infers as the file says, in numpy; of many samples it then changes the scores."""

    def __init__(self, weight: NDArray[np.float32], change: Change, axes: int) -> None:
        self.transport = type("ParityChain", (), {"name": "board"})
        self._weight, self._change, self._axes = weight, change, axes

    def infer(self, loaded: Loaded, inference: Inference) -> None:
        with np.load(inference.inputs) as file:
            (x,) = (file[name] for name in file.files)
        scores = x @ self._weight
        scores = scores if len(x) <= GOLDEN else self._change(scores)
        shape = (len(x), *(1,) * (self._axes - 2), CLASSES)
        write_npz(inference.outputs, {"scores": scores.reshape(shape)})


class Scores(ClassificationTask):
    """`labels` of a model's own answers, but for `wrong` of them."""

    classes = CLASSES

    def __init__(self, weight: NDArray[np.float32], wrong: int = 0) -> None:
        images = torch.randn(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(0))
        labels = (images @ torch.from_numpy(weight)).argmax(1)
        labels[:wrong] = (labels[:wrong] + 1) % CLASSES
        self._data = [(images[:50], labels[:50]), (images[50:], labels[50:])]

    def model(self) -> nn.Module:
        return nn.Linear(FEATURES, CLASSES, bias=False)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, FEATURES),)

    def train_data(self) -> Iterable[Batch]:
        return self._data

    def eval_data(self) -> Iterable[Batch]:
        return self._data


class Blind(Scores):
    """Its metric sees nothing of the outputs."""

    def update(self, metric: Metric, outputs: Tensor, target: Tensor) -> None:
        metric.update(nn.functional.one_hot(target, CLASSES).float(), target)


class Regression(Scores, Task):
    """Outputs of [N, 1, CLASSES], which are no classes to anybody."""

    def metric(self) -> Metric:
        return MeanAbsoluteError()

    def update(self, metric: Metric, outputs: Tensor, target: Tensor) -> None:
        metric.update(outputs, torch.zeros_like(outputs))


class Try:
    """One file, here and on a board."""

    def __init__(self, folder: Path) -> None:
        path = folder / "linear.onnx"
        self.folder = folder
        self.weight = onnx_files.linear(path, FEATURES, CLASSES)
        self.file = onnx_files.loaded(path, {"scores": (STEP, 0)})

    def there(
        self,
        task: Task,
        change: Change,
        max_metric_drop: float,
        noise_rms: tuple[float, ...] | None = None,
    ) -> Validation:
        axes = 3 if isinstance(task, Regression) else 2

        def board(change: Change) -> Runs:
            agent = cast("DeviceAgent", Board(self.weight, change, axes))
            return Runs(agent, self.file, self.folder)

        here = board(lambda scores: scores)
        sample = draw(here, task, lambda outputs: outputs[0], seed=0)
        sample = replace(sample, noise_rms=noise_rms)
        budgets = Budgets(max_metric_drop=max_metric_drop)
        return validate(board(change), sample, budgets, lambda: None)


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    return Try(tmp_path)


def others(count: int) -> Change:
    """Another class wins, of the last samples."""

    def change(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        changed = scores.copy()
        changed[len(scores) - count :] = np.roll(changed[len(scores) - count :], 1, axis=1)
        return changed

    return change


@pytest.mark.parametrize("wrong", [3, 25, SAMPLES])
def test_other_answers_are_refused_though_the_metric_sees_none_of_it(
    attempt: Try, wrong: int
) -> None:
    with pytest.raises(Refused) as caught:
        attempt.there(Blind(attempt.weight), others(wrong), max_metric_drop=1.0)
    agreed = f"only {(SAMPLES - wrong) / SAMPLES:.2%} of the answers are the same"
    assert agreed in str(caught.value)
    assert "at least 98% asked" in str(caught.value)


def test_two_answers_of_a_hundred_may_be_others(attempt: Try) -> None:
    found = attempt.there(Blind(attempt.weight), others(2), max_metric_drop=0.0)
    assert found.parity.top1_agreement == 0.98
    assert (found.value, found.value_here) == (1.0, 1.0)


def test_the_metric_may_lose_what_the_recipe_allows(attempt: Try) -> None:
    # Each of the answers that change was right.
    found = attempt.there(Scores(attempt.weight), others(2), max_metric_drop=0.02)
    assert (found.value, found.value_here) == (pytest.approx(0.98), 1.0)
    with pytest.raises(Refused, match=r"is 0\.9800 .* on 100 samples there, 1\.0000 here; at most"):
        attempt.there(Scores(attempt.weight), others(2), max_metric_drop=0.019)


def test_a_metric_in_another_unit_has_its_budget_in_that_unit(attempt: Try) -> None:
    def larger(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        # Within 16 steps: it is the metric that decides.
        return scores + np.float32(2 * STEP) * np.sign(scores)

    task = Regression(attempt.weight)
    assert attempt.there(task, larger, 2 * STEP * 1.001).value > 0
    with pytest.raises(Refused, match=r"MeanAbsoluteError is .* at most 0\.4995 worse allowed"):
        attempt.there(task, larger, 2 * STEP * 0.999)


def test_every_sample_of_a_regression_is_compared(attempt: Try) -> None:
    def last(steps: float) -> Change:
        def change(scores: NDArray[np.float32]) -> NDArray[np.float32]:
            changed = scores.copy()
            changed[-1, -1] += np.float32(steps * STEP)
            return changed

        return change

    task = Regression(attempt.weight)
    found = attempt.there(task, last(15.9), max_metric_drop=1.0)
    assert found.parity.max_output_steps == pytest.approx(15.9, abs=1e-3)
    assert found.parity.top1_agreement is None
    with pytest.raises(Refused, match=r"outputs differ by 16\.1 steps .* on 100 samples"):
        attempt.there(task, last(16.1), max_metric_drop=1.0)


def test_no_classes_are_compared_by_their_steps(attempt: Try) -> None:
    # Answers that are the same may be far apart: the metric and the answers are what counts.
    found = attempt.there(
        Scores(attempt.weight), lambda scores: scores * np.float32(9), max_metric_drop=0.0
    )
    assert found.parity.max_output_steps > 16


def shaken(rms: float) -> Change:
    """Kernels that round otherwise: noise on every score."""

    def change(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = np.random.default_rng(0).standard_normal(scores.shape)
        return scores + np.float32(rms) * noise.astype("float32")

    return change


@pytest.mark.parametrize("kind", [Blind, Regression])
def test_where_quantising_costs_more_kernels_may_differ_more(attempt: Try, kind: type) -> None:
    task, rms = kind(attempt.weight), 2.0
    with pytest.raises(Refused):
        attempt.there(task, shaken(rms), max_metric_drop=9.0)
    found = attempt.there(task, shaken(rms), max_metric_drop=9.0, noise_rms=(rms,))
    assert found.parity.error_to_noise == pytest.approx(1.0, rel=0.2)
    # Twice the energy is as far as two roundings are apart.
    attempt.there(task, shaken(rms), max_metric_drop=9.0, noise_rms=(rms / 1.3,))
    with pytest.raises(Refused):
        attempt.there(task, shaken(rms), max_metric_drop=9.0, noise_rms=(rms / 1.6,))


def test_an_answer_that_noise_cannot_flip_must_be_the_same(attempt: Try) -> None:
    with pytest.raises(Refused, match="of the answers are the same"):
        attempt.there(Blind(attempt.weight), others(9), max_metric_drop=1.0, noise_rms=(0.1,))
