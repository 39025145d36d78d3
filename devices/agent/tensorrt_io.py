"""An engine's inputs and outputs: by name since TensorRT 8.5, by number (bindings) before.

Every shape is known once they are open, because `build` gives each free dimension one size only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Sequence

import tensorrt as trt

from .failure import Failure

DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
"""Not trt.nptype: that of 8.5 needs np.bool, which numpy 1.24 removed."""


class IoTensor(NamedTuple):
    name: str
    is_input: bool
    dtype: str
    """As numpy spells it."""
    shape: tuple[int, ...]


class EngineIo(ABC):
    tensors: Sequence[IoTensor] = ()
    """In the engine's order."""

    @abstractmethod
    def bind(self, addresses: Sequence[int]) -> None:
        """Tell where on the device the tensors are, in their order."""

    @abstractmethod
    def enqueue(self, stream: int) -> bool:
        """Queue one inference; False when TensorRT refuses."""


def checked(name: str, is_input: bool, dtype: trt.DataType, shape: Sequence[int]) -> IoTensor:
    if dtype.name not in DTYPES:
        raise Failure("input", f"'{name}' is of type {dtype.name}, which numpy lacks")
    if any(size < 0 for size in shape):
        raise Failure("input", f"'{name}' has the shape {list(shape)}, which depends on data")
    return IoTensor(name, is_input, DTYPES[dtype.name], tuple(shape))


def values(dims: trt.Dims) -> list[int]:
    """A shape as numbers; -1 is free."""
    return [dims[index] for index in range(len(dims))]
