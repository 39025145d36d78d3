"""What the user brings: model, example inputs, data, loss, metric."""

from edgecompress.task.base import Batch, ClassificationTask, Task
from edgecompress.task.kinds.audio import AudioTask, ExactLogMel, LogMel
from edgecompress.task.kinds.detection import DetectionTask
from edgecompress.task.kinds.embedding import EmbeddingTask
from edgecompress.task.kinds.keypoints import KeypointTask
from edgecompress.task.kinds.multilabel import MultiLabelTask
from edgecompress.task.kinds.regression import RegressionTask
from edgecompress.task.kinds.segmentation import SegmentationTask
from edgecompress.task.kinds.sequence import SequenceTask
from edgecompress.task.metric import Metric, MulticlassAccuracy, PerSample
from edgecompress.task.metrics.detection import MeanAveragePrecision
from edgecompress.task.metrics.keypoints import CorrectKeypoints
from edgecompress.task.metrics.multilabel import MultilabelAveragePrecision, MultilabelF1Score
from edgecompress.task.metrics.regression import MeanAbsoluteError
from edgecompress.task.metrics.retrieval import RetrievalAccuracy
from edgecompress.task.metrics.segmentation import MeanIntersectionOverUnion
from edgecompress.task.metrics.sequence import LabelAccuracy, MacroF1Score
from edgecompress.task.suppression import NonMaximumSuppression

__all__ = [
    "AudioTask",
    "Batch",
    "ClassificationTask",
    "CorrectKeypoints",
    "DetectionTask",
    "EmbeddingTask",
    "ExactLogMel",
    "KeypointTask",
    "LabelAccuracy",
    "LogMel",
    "MacroF1Score",
    "MeanAbsoluteError",
    "MeanAveragePrecision",
    "MeanIntersectionOverUnion",
    "Metric",
    "MultiLabelTask",
    "MulticlassAccuracy",
    "MultilabelAveragePrecision",
    "MultilabelF1Score",
    "NonMaximumSuppression",
    "PerSample",
    "RegressionTask",
    "RetrievalAccuracy",
    "SegmentationTask",
    "SequenceTask",
    "Task",
]
