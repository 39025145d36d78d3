"""Inputs and outputs by name: TensorRT 8.5 and later."""

from __future__ import annotations

from typing import Sequence

import tensorrt as trt

from .tensorrt_io import EngineIo, IoTensor, checked, values


class NamedIo(EngineIo):
    def __init__(self, engine: trt.ICudaEngine, context: trt.IExecutionContext) -> None:
        self._engine = engine
        self._context = context
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        for name in filter(self._is_input, names):
            context.set_input_shape(name, trt.Dims(self._input_shape(name)))
        self.tensors = [self._tensor(name) for name in names]

    def bind(self, addresses: Sequence[int]) -> None:
        for tensor, address in zip(self.tensors, addresses):
            self._context.set_tensor_address(tensor.name, address)

    def enqueue(self, stream: int) -> bool:
        return bool(self._context.execute_async_v3(stream_handle=stream))

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT)

    def _input_shape(self, name: str) -> list[int]:
        shape = values(self._engine.get_tensor_shape(name))
        if -1 in shape:
            # Least, best and most are one in an engine of ours.
            shape = values(self._engine.get_tensor_profile_shape(name, 0)[1])
        return shape

    def _tensor(self, name: str) -> IoTensor:
        dtype = self._engine.get_tensor_dtype(name)
        shape = values(self._context.get_tensor_shape(name))
        return checked(name, self._is_input(name), dtype, shape)
