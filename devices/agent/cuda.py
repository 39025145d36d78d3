"""The CUDA runtime through ctypes: boards have its library, and neither pycuda nor cuda-python.

Every call is blocking for the host or queued on a stream, as CUDA's own documentation says.
Prototypes are those of cuda_runtime_api.h of CUDA 11, 12 and 13, where they are the same.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_void_p
from typing import NamedTuple

from .failure import Failure

LIBRARIES = (
    "libcudart.so",
    "libcudart.so.13",
    "libcudart.so.12",
    "libcudart.so.11.0",
    "/usr/local/cuda/lib64/libcudart.so",
)
"""The board's own choice first; JetPack 7, 6 and 5 have 13, 12 and 11.4."""
PROTOTYPES = {
    "cudaDriverGetVersion": [POINTER(c_int)],
    "cudaGetDevice": [POINTER(c_int)],
    "cudaDeviceGetAttribute": [POINTER(c_int), c_int, c_int],
    "cudaGetDeviceProperties": [c_void_p, c_int],
    "cudaMalloc": [POINTER(c_void_p), c_size_t],
    "cudaFree": [c_void_p],
    "cudaMallocHost": [POINTER(c_void_p), c_size_t],
    "cudaFreeHost": [c_void_p],
    "cudaMemcpyAsync": [c_void_p, c_void_p, c_size_t, c_int, c_void_p],
    "cudaStreamCreate": [POINTER(c_void_p)],
    "cudaStreamSynchronize": [c_void_p],
    "cudaStreamDestroy": [c_void_p],
    "cudaEventCreate": [POINTER(c_void_p)],
    "cudaEventRecord": [c_void_p, c_void_p],
    "cudaEventSynchronize": [c_void_p],
    "cudaEventElapsedTime": [POINTER(c_float), c_void_p, c_void_p],
    "cudaEventDestroy": [c_void_p],
}
"""All return a cudaError_t."""
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
NAME_BYTES = 256
PROPERTIES_BYTES = 8192
"""cudaDeviceProp begins with the name and has about 1 KB, how much differs by version."""


class Gpu(NamedTuple):
    gpu: str
    """Its name, such as 'Orin'."""
    compute_capability: str
    """Such as '8.7'."""
    driver: str
    """Newest CUDA that the driver can do, such as '12.6'."""


class Cuda:
    """Raises Failure: 'missing' without the library, 'runtime' where CUDA reports an error."""

    def __init__(self) -> None:
        self._library = _load()
        self._library.cudaGetErrorString.argtypes = [c_int]
        self._library.cudaGetErrorString.restype = c_char_p
        for name, types in PROTOTYPES.items():
            getattr(self._library, name).argtypes = types

    def gpu(self) -> Gpu:
        """The current device."""
        driver, device = c_int(), c_int()
        self._call("cudaDriverGetVersion", byref(driver))
        self._call("cudaGetDevice", byref(device))
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self._call("cudaGetDeviceProperties", properties, device)
        name = properties.raw[:NAME_BYTES].partition(b"\0")[0].decode(errors="replace")
        major = self._attribute(CAPABILITY_MAJOR, device)
        minor = self._attribute(CAPABILITY_MINOR, device)
        # 12060 is 12.6.
        version = f"{driver.value // 1000}.{driver.value % 1000 // 10}"
        return Gpu(name, f"{major}.{minor}", version)

    def malloc(self, size: int) -> int:
        """Address of `size` > 0 bytes on the device."""
        return self._made("cudaMalloc", size)

    def free(self, address: int) -> None:
        self._call("cudaFree", address)

    def malloc_host(self, size: int) -> int:
        """Address of `size` > 0 bytes on the host, pinned, so that copies need no staging."""
        return self._made("cudaMallocHost", size)

    def free_host(self, address: int) -> None:
        self._call("cudaFreeHost", address)

    def to_device(self, device: int, host: int, size: int, stream: int) -> None:
        """Queue a copy."""
        self._call("cudaMemcpyAsync", device, host, size, HOST_TO_DEVICE, stream)

    def to_host(self, host: int, device: int, size: int, stream: int) -> None:
        """Queue a copy."""
        self._call("cudaMemcpyAsync", host, device, size, DEVICE_TO_HOST, stream)

    def stream(self) -> int:
        return self._made("cudaStreamCreate")

    def wait(self, stream: int) -> None:
        """Until all that was queued on it is done."""
        self._call("cudaStreamSynchronize", stream)

    def destroy_stream(self, stream: int) -> None:
        self._call("cudaStreamDestroy", stream)

    def event(self) -> int:
        return self._made("cudaEventCreate")

    def record(self, event: int, stream: int) -> None:
        """Queue a time stamp."""
        self._call("cudaEventRecord", event, stream)

    def elapsed_ms(self, start: int, end: int) -> float:
        """Between two recorded events, by the GPU's clock; waits for the second."""
        self._call("cudaEventSynchronize", end)
        elapsed = c_float()
        self._call("cudaEventElapsedTime", byref(elapsed), start, end)
        return elapsed.value

    def destroy_event(self, event: int) -> None:
        self._call("cudaEventDestroy", event)

    def _attribute(self, number: int, device: c_int) -> int:
        value = c_int()
        self._call("cudaDeviceGetAttribute", byref(value), number, device)
        return value.value

    def _made(self, name: str, *arguments: object) -> int:
        """What the function writes to its first argument."""
        handle = c_void_p()
        self._call(name, byref(handle), *arguments)
        # ctypes has None for a null pointer.
        return 0 if handle.value is None else handle.value

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            text = self._library.cudaGetErrorString(code)
            said = text.decode(errors="replace") if text else "unknown error"
            raise Failure("runtime", f"CUDA: {name}: {said} (error {code})")


def _load() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise Failure(
        "missing",
        "the CUDA runtime (libcudart.so) is not on the library path nor in /usr/local/cuda;"
        " on a Jetson, JetPack brings it: sudo apt install nvidia-jetpack",
    )
