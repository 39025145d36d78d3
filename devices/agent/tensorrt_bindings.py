"""Inputs and outputs by number: TensorRT before 8.5. TensorRT 10 removed them."""

from __future__ import annotations

from typing import Sequence

import tensorrt as trt

from .tensorrt_io import EngineIo, IoTensor, checked, values


class BoundIo(EngineIo):
    def __init__(self, engine: trt.ICudaEngine, context: trt.IExecutionContext) -> None:
        self._engine = engine
        self._context = context
        self._addresses: list[int] = []
        numbers = range(engine.num_bindings)
        for number in filter(engine.binding_is_input, numbers):
            context.set_binding_shape(number, trt.Dims(self._input_shape(number)))
        self.tensors = [self._tensor(number) for number in numbers]

    def bind(self, addresses: Sequence[int]) -> None:
        self._addresses = list(addresses)

    def enqueue(self, stream: int) -> bool:
        return bool(self._context.execute_async_v2(bindings=self._addresses, stream_handle=stream))

    def _input_shape(self, number: int) -> list[int]:
        shape = values(self._engine.get_binding_shape(number))
        if -1 in shape:
            # Least, best and most are one in an engine of ours.
            shape = values(self._engine.get_profile_shape(0, number)[1])
        return shape

    def _tensor(self, number: int) -> IoTensor:
        return checked(
            self._engine.get_binding_name(number),
            self._engine.binding_is_input(number),
            self._engine.get_binding_dtype(number),
            values(self._context.get_binding_shape(number)),
        )
