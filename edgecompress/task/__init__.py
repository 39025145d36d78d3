"""What the user brings: model, example inputs, data, loss, metric."""

from edgecompress.task.base import Batch, ClassificationTask, Task

__all__ = ["Batch", "ClassificationTask", "Task"]
