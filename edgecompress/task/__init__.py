"""What the user brings: model, example inputs, data, loss, metric."""

from edgecompress.task.base import Batch, ClassificationTask, Task
from edgecompress.task.metric import Metric, MulticlassAccuracy

__all__ = ["Batch", "ClassificationTask", "Metric", "MulticlassAccuracy", "Task"]
