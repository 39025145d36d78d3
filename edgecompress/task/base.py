"""What the user brings. Everything else follows from it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from edgecompress.errors import TaskError
from edgecompress.spec.preprocessing import Preprocessing
from edgecompress.task.labels import wrong_labels
from edgecompress.task.metric import Metric, MulticlassAccuracy

Batch = tuple[Any, Any]
"""(inputs, target): inputs is a tensor, or a tuple of tensors for a model with several."""


class Task(ABC):
    """A model, its data, and what counts as good. Subclass it in a file of your own.

    Data methods are called once an epoch and may shuffle and augment with torch's global
    generator (or Python's, or NumPy's): it is seeded before each call, so runs repeat.
    """

    repeats_train_data = False
    """True: `train_data()` has the same samples in every epoch, in any order: nothing is augmented.
    The teacher is then asked once for each.
    """

    gives_scores: bool | None = None
    """Whether an output [N, C] has scores of classes, of which the highest is the answer; False:
    numbers, embeddings, or labels that may hold together. None: it is taken for scores.
    """

    @abstractmethod
    def model(self) -> nn.Module:
        """The trained float model; a fresh instance on every call."""

    @abstractmethod
    def example_inputs(self) -> tuple[Tensor, ...]:
        """Inputs of one inference as on the device, batch dimension first and of size 1."""

    @abstractmethod
    def train_data(self) -> Iterable[Batch]:
        """One epoch of training batches."""

    @abstractmethod
    def eval_data(self) -> Iterable[Batch]:
        """The whole evaluation set, in a fixed order; never shown to training."""

    @abstractmethod
    def loss(self, outputs: Any, target: Any) -> Tensor:
        """Scalar training loss of what the model returned."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh metric, such as one of torchmetrics, that says which way is better."""

    def calibration_data(self) -> Iterable[Batch]:
        """Batches whose activations set the quantisation ranges; default: training data."""
        return self.train_data()

    def validation_data(self) -> Iterable[Batch]:
        """Picks the best epoch and scans sensitivity; default: the evaluation set."""
        return self.eval_data()

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        """Feed one batch to the metric; override where the outputs need decoding first."""
        metric.update(outputs, target)

    def distillation_loss(self, student: Any, teacher: Any, temperature: float) -> Tensor:
        """How far the student's outputs are from the teacher's; default: mean squared error of
        each floating-point output, in whatever structure, summed over them. Override it where
        outputs have other units, or as many entries as there are objects.
        """
        ours, theirs = tensors_of(student), tensors_of(teacher)
        if [tensor.shape for tensor in ours] != [tensor.shape for tensor in theirs]:
            raise TaskError(
                f"{type(self).__name__}.distillation_loss(): outputs of"
                f" {[list(tensor.shape) for tensor in ours]} and of"
                f" {[list(tensor.shape) for tensor in theirs]} cannot be compared; write one that"
                " can, or set distill: off"
            )
        pairs = [(s, t) for s, t in zip(ours, theirs, strict=True) if s.is_floating_point()]
        if not pairs:
            raise TaskError(
                f"{type(self).__name__}.distillation_loss(): the model has no floating-point"
                " outputs to compare; write one, or set distill: off"
            )
        return torch.stack([_squared_error(s, t) for s, t in pairs]).sum()

    def in_order_of(self, reference: list[Tensor], outputs: list[Tensor]) -> list[Tensor]:
        """The outputs of one execution of a model, put so that they can be compared number by
        number with those of another, the reference; the tensors are [N, ...]. Override it where
        rounding may change an order, such as that of boxes by their scores. Default: as they are.
        """
        return outputs

    def labels(self) -> tuple[str, ...] | None:
        """Class names, stored in the artifact."""
        return None

    def preprocessing(self) -> Preprocessing | None:
        """How an application prepares the input, stored in the artifact (docs/contract.md)."""
        return None

    def decoder(self) -> nn.Module | None:
        """Makes of what the model puts out, in its structure, what an application wants. It becomes
        the end of the file where the target has `outputs: decoded`, in float; losses never see
        it. `update` and `wrong_outputs` always get what it gives. Default: there is none.
        """
        return None

    def wrong_target(self, target: Any, samples: int) -> str | None:
        """What is wrong with the target of a batch of so many samples, and what to do; None:
        nothing is. Every batch is asked about, so it should be cheap. Default: all are right.
        """
        return None

    def wrong_training_target(self, target: Any, samples: int) -> str | None:
        """The same for what is trained on; default: as `wrong_target`. It is not asked where a
        kind's loss is replaced, because another loss may take other targets.
        """
        return self.wrong_target(target, samples)

    def wrong_outputs(self, outputs: Any) -> str | None:
        """What the model should have given for one sample in place of `outputs`; None: they are
        right. Default: all are.
        """
        return None


class ClassificationTask(Task):
    """One label per sample, class scores [N, classes] as the model's only output."""

    label_smoothing = 0.0
    """Set by the training loop from the recipe."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes; labels are 0 .. classes - 1."""

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        scores = only_tensor(outputs)
        return functional.cross_entropy(scores, target, label_smoothing=self.label_smoothing)

    def metric(self) -> Metric:
        return MulticlassAccuracy()

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        metric.update(only_tensor(outputs), target)

    def distillation_loss(self, student: Any, teacher: Any, temperature: float) -> Tensor:
        """Kullback-Leibler divergence of softened outputs, times T^2 (Hinton et al., 2015)."""
        return softened_divergence(only_tensor(student), only_tensor(teacher), temperature)

    def wrong_target(self, target: Any, samples: int) -> str | None:
        return wrong_labels(target, samples, self.classes, trained=False)

    def wrong_training_target(self, target: Any, samples: int) -> str | None:
        return wrong_labels(target, samples, self.classes, trained=True)

    def wrong_outputs(self, outputs: Any) -> str | None:
        if [list(tensor.shape) for tensor in tensors_of(outputs)] == [[1, self.classes]]:
            return None
        return (
            f"with classes = {self.classes} it must give one of [1, {self.classes}], or the task"
            " must be a Task"
        )


def softened_divergence(
    student: Tensor, teacher: Tensor, temperature: float, dim: int = 1
) -> Tensor:
    """Kullback-Leibler divergence of softened scores along `dim`, times T^2: its mean over all
    else (Hinton et al., 2015).
    """
    log_student = functional.log_softmax(student / temperature, dim=dim)
    log_teacher = functional.log_softmax(teacher / temperature, dim=dim)
    divergence = functional.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return divergence / (student.numel() // student.shape[dim]) * temperature**2


def _squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the finite numbers of the teacher: from a mask of -inf there is no distance."""
    known = teacher.isfinite()
    if known.all():
        return functional.mse_loss(student, teacher)
    return functional.mse_loss(student[known], teacher[known])


def inputs_of(batch: Batch) -> tuple[Tensor, ...]:
    """The model's positional arguments."""
    inputs = batch[0]
    return tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)


def tensors_of(outputs: Any) -> list[Tensor]:
    """All tensors of a model's return value, in torch's pytree order."""
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]


def only_tensor(outputs: Any) -> Tensor:
    """The one tensor of a model's return value, such as the logits of a ModelOutput.

    Raises:
        ValueError: there are several, or none; a task that is guarded makes a TaskError of it.

    """
    if isinstance(outputs, Tensor):
        return outputs
    tensors = tensors_of(outputs)
    if len(tensors) != 1:
        raise ValueError(
            f"the model gives {len(tensors)} tensors, and the task takes one; let forward() return"
            " that alone, or write loss(), update() and distillation_loss()"
        )
    return tensors[0]


def one_by_one(model: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Any:
    """What a model whose batch size is fixed to one returns, put together along the batch."""
    results = [model(*(x[i : i + 1] for x in inputs)) for i in range(len(inputs[0]))]
    flat = [tree_flatten(result) for result in results]
    leaves = [
        torch.cat(parts) if isinstance(parts[0], Tensor) and parts[0].dim() else parts[0]
        for parts in zip(*(leaves for leaves, _ in flat), strict=True)
    ]
    return tree_unflatten(leaves, flat[0][1])


def take(data: Iterable[Batch], batches: int) -> list[Batch]:
    """The first `batches` batches."""
    return list(islice(data, batches))
