"""Which of OpenVINO's devices runs a file, and in which type its float operators compute there."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Protocol, Sequence

from .failure import Failure

DTYPES = {"float32": ("f32", "FP32"), "bfloat16": ("bf16", "BF16"), "float16": ("f16", "FP16")}
"""As numpy writes it, in INFERENCE_PRECISION_HINT, and in OPTIMIZATION_CAPABILITIES."""


class Core(Protocol):
    """What is asked of openvino.Core."""

    @property
    def available_devices(self) -> Sequence[str]: ...

    def get_property(self, device: str, name: str) -> Any: ...


class Chosen(NamedTuple):
    device: str
    """As OpenVINO calls it: CPU, GPU, NPU."""
    hint: str
    """The type, as INFERENCE_PRECISION_HINT takes it."""


def choose(core: Core, options: Mapping[str, str]) -> Chosen:
    """The device and type that `options` ask for: by default the CPU and float32.

    Raises Failure where this machine has no such device, or the device no such type. OpenVINO
    itself takes any hint, and computes in another type where it has to.
    """
    device = options.get("device", "cpu").upper()
    there = list(core.available_devices)
    # Several of a kind are GPU.0 and GPU.1; GPU is the first.
    if device not in {name.partition(".")[0] for name in there}:
        raise Failure(
            "runtime",
            f"OpenVINO finds no {device} here, only {', '.join(there) or 'no device at all'}; set"
            " runtime.device of the target to one of these, or install the driver",
        )
    dtype = options.get("float_dtype", "float32")
    if dtype not in DTYPES:
        raise Failure("input", f"float_dtype '{dtype}' is unknown; known: {', '.join(DTYPES)}")
    capabilities = list(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
    hint, capability = DTYPES[dtype]
    if capability not in capabilities:
        has = [name for name, (_, known) in DTYPES.items() if known in capabilities]
        name = core.get_property(device, "FULL_DEVICE_NAME")
        raise Failure(
            "runtime",
            f"OpenVINO's {device} here ({name}) does not compute in {dtype}, but in"
            f" {' or '.join(has) or 'no float type'}; set float_dtype of the target to that",
        )
    return Chosen(device, hint)
