"""Which device of OpenVINO's runs a file, and in which float type: by a made-up list of devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from devices.agent.failure import Failure
from devices.agent.openvino_device import choose


@dataclass(frozen=True)
class Machine:
    """What openvino.Core would say of one."""

    capabilities: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def available_devices(self) -> Sequence[str]:
        return list(self.capabilities)

    def get_property(self, device: str, name: str) -> object:
        found = next(x for x in self.capabilities if x.partition(".")[0] == device)
        told = {"OPTIMIZATION_CAPABILITIES": self.capabilities[found], "FULL_DEVICE_NAME": "X"}
        return told[name]


OLD = Machine({"CPU": ["FP32", "INT8", "BIN"]})
SERVER = Machine({"CPU": ["FP32", "BF16", "INT8"]})
LAPTOP = Machine({
    "CPU": ["FP32", "INT8"],
    "GPU.0": ["FP32", "FP16", "INT8"],
    "GPU.1": ["FP32", "FP16", "INT8"],
    "NPU": ["FP16", "INT8"],
})  # fmt: skip


@pytest.mark.parametrize(
    ("machine", "options", "device", "hint"),
    [
        (OLD, {}, "CPU", "f32"),
        (SERVER, {}, "CPU", "f32"),
        (SERVER, {"float_dtype": "bfloat16"}, "CPU", "bf16"),
        (LAPTOP, {"device": "gpu", "float_dtype": "float16"}, "GPU", "f16"),
        (LAPTOP, {"device": "gpu"}, "GPU", "f32"),
        (LAPTOP, {"device": "npu", "float_dtype": "float16"}, "NPU", "f16"),
    ],
)
def test_what_is_there_is_taken(
    machine: Machine, options: dict[str, str], device: str, hint: str
) -> None:
    assert choose(machine, options) == (device, hint)


@pytest.mark.parametrize(
    ("machine", "options", "told"),
    [
        (OLD, {"device": "gpu"}, "finds no GPU here, only CPU;"),
        (LAPTOP, {"device": "tpu"}, "finds no TPU here, only CPU, GPU.0, GPU.1, NPU;"),
        (Machine(), {}, "finds no CPU here, only no device at all;"),
        (
            OLD,
            {"float_dtype": "bfloat16"},
            "CPU here (X) does not compute in bfloat16, but in float32;",
        ),
        (SERVER, {"float_dtype": "float16"}, "in float16, but in float32 or bfloat16;"),
        (LAPTOP, {"device": "npu"}, "NPU here (X) does not compute in float32, but in float16;"),
        (OLD, {"float_dtype": "int4"}, "'int4' is unknown; known: float32, bfloat16, float16"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    machine: Machine, options: dict[str, str], told: str
) -> None:
    with pytest.raises(Failure) as caught:
        choose(machine, options)
    assert told in str(caught.value)
