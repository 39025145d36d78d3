"""What exporters may use of a captured graph; the rest of this package is its own affair.

`program_of` traces a module, `graph_of` makes a graph of that which can be edited, `fold_constants`
computes what hangs on no input. A quantised graph has a Q and a DQ (`is_quantizer`,
`is_dequantizer`) on every tensor that ships as integers; `WEIGHTED` and its neighbours are kinds of
operators, from `means` is whatever concerns a mean over an image. None of it imports torchao.
"""

from edgecompress.compress.capture import dynamic_batch, graph_of, program_of
from edgecompress.compress.constants import fold_constants
from edgecompress.compress.fx import (
    ATEN,
    CONTROL_FLOW,
    call_beside,
    fake,
    hold,
    input_of,
    integers_in,
    is_dequantizer,
    is_float,
    is_quantizer,
    module_path,
    nodes_in,
    only_user,
    stored,
)
from edgecompress.compress.means import MEAN_WEIGHT, Window, averaged_window, is_without_ties
from edgecompress.compress.operators import CLIPPING, CONCATENATING, WEIGHTED

__all__ = [
    "ATEN",
    "CLIPPING",
    "CONCATENATING",
    "CONTROL_FLOW",
    "MEAN_WEIGHT",
    "WEIGHTED",
    "Window",
    "averaged_window",
    "call_beside",
    "dynamic_batch",
    "fake",
    "fold_constants",
    "graph_of",
    "hold",
    "input_of",
    "integers_in",
    "is_dequantizer",
    "is_float",
    "is_quantizer",
    "is_without_ties",
    "module_path",
    "nodes_in",
    "only_user",
    "program_of",
    "stored",
]
