"""The Python calls, for notebooks: what the command line does with what lies in memory, typed, and
with results that show themselves; docs/python.md. `edgecompress` itself has them by the same names.
"""

from edgecompress.api.compressing import CompressOptions, compress
from edgecompress.api.files import compare, evaluate, inspect, measure
from edgecompress.api.pushing import push
from edgecompress.api.results import (
    Comparison,
    Evaluation,
    Inspection,
    LayerComparison,
    Measurement,
    PushedRun,
    Report,
)

__all__ = [
    "Comparison",
    "CompressOptions",
    "Evaluation",
    "Inspection",
    "LayerComparison",
    "Measurement",
    "PushedRun",
    "Report",
    "compare",
    "compress",
    "evaluate",
    "inspect",
    "measure",
    "push",
]
