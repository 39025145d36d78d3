"""What TensorRT's profiler tells: the time of each layer of an engine, on the GPU."""

from __future__ import annotations

from typing import SupportsFloat

import tensorrt as trt

from .counts import Counted

KIND = "layer"
"""TensorRT has names of layers only."""


class LayerTimes(trt.IProfiler):
    def __init__(self) -> None:
        trt.IProfiler.__init__(self)
        self._told: list[Counted] = []

    def report_layer_time(self, layer_name: str, ms: SupportsFloat) -> None:
        """Called by TensorRT for each layer, in order, when an inference is done."""
        self._told.append(Counted(layer_name, KIND, float(ms) * 1e3))

    def taken(self) -> list[Counted]:
        """What came since the last call."""
        told, self._told = self._told, []
        return told
