"""A device whose programs are not run: what each prints, and the files that it leaves, are right
ones, one of them changed.
"""

import io
import json
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hostile.mutate import ESCAPES, changed_bytes, changed_json

from edgecompress.artifact import sha256_of
from edgecompress.errors import DeviceError
from edgecompress.measure.tensors import write_npz
from edgecompress.transport import Completed, LocalTransport
from edgecompress.transport.base import STDOUT_BYTES, too_large

SAMPLES = 4
STATE = {
    "governor": "performance",
    "clock_mhz": 1800.0,
    "temperature_c": 45.5,
    "throttled": "0x50005",
    "load_1m": 0.25,
}
PROBE = {
    "machine": "aarch64",
    "system": "Linux 6.1",
    "python": "3.11.2",
    "cpu_model": "Cortex-A76",
    "cpu_features": ["asimd", "asimddp"],
    "cores": 4,
    "memory_bytes": 4 << 30,
    "versions": {"numpy": "1.26.4", "onnxruntime": "1.20.0"},
    "kernel_machine": "aarch64",
    "python_bits": 64,
    "free_disk_bytes": 1 << 33,
    "available_memory_bytes": 1 << 31,
    "epoch_s": 1.8e9,
    "state": STATE,
}
SAMPLE = {
    "at_s": 0.5,
    "temperature_c": 50.0,
    "clock_mhz": 1800.0,
    "throttled": "0x0",
    "power_mw": 3000.0,
}
ENGINE = {
    "engine": "/cache/x.engine",
    "key": "0" * 64,
    "built_with": "10.3.0",
    "gpu": "Orin",
    "compute_capability": "8.7",
    "driver": "12.6",
    "seconds": 3.5,
    "reused": False,
    "how": "python",
    "notes": ["kernels passed over"],
}
MEMORY = {
    "runtime_rss_bytes": 60 << 20,
    "runtime_pss_bytes": 30 << 20,
    "runtime_was_used": True,
    "loaded_rss_bytes": 1 << 20,
    "peak_rss_bytes": 3 << 20,
    "loaded_pss_bytes": 1 << 20,
    "peak_pss_bytes": 3 << 20,
    "arena_bytes": 2 << 20,
    "arena_used_bytes": 1 << 20,
    "arena_of": "an arena",
}
COUNTING = {
    "runtime": "onnxruntime 1.20.0",
    "inferences": 20,
    "inference_us": 90.5,
    "operators": [
        {"name": "conv", "op_type": "Conv", "time_us": 60.5},
        {"name": "add", "op_type": "Add", "time_us": 10.25},
    ],
}
# ruff: noqa: E501 - the tool's own lines
LOG = """\
INFO: STARTING!
INFO: Loaded model /x
INFO: Replacing 31 out of 31 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions for the whole graph.
INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.
INFO: The input model file size (MB): 0.5
INFO: Initialized session in 5.5ms.
INFO: count=10 first=900 curr=800 min=700 max=950 avg=800 std=20 p5=700 median=790 p95=940
INFO: Inference timings in us: Init: 5500, First inference: 900, Warmup (avg): 900, Inference (avg): 800
INFO: Memory footprint delta from the start of the tool (MB): init=1.5 overall=3.25
"""
ANDROID = "\n@@\n".join(
    [
        "aarch64",
        *("14", "34", "Google", "Pixel", "Google", "Tensor", "", ""),
        "processor\t: 0\nFeatures\t: fp asimd\nHardware\t: x",
        "MemTotal:        7800000 kB\nMemAvailable:    4000000 kB",
        "1800000000",
    ]
)
ANDROID_STATE = "\n@@\n".join(
    [
        "0.50 0.40 0.30 1/200 300",
        "schedutil",
        "1800000",
        "IsStatusOverride: false\nThermal Status: 0\nCurrent temperatures from HAL:\n"
        "\tTemperature{mValue=40.5, mType=0, mName=CPU0, mStatus=0}",
    ]
)
IMPORTS = '\n{"module": "numpy", "error": null}\n\n{"module": "onnxruntime", "error": "no"}\n'


class LyingTransport(LocalTransport):
    """Its programs are not run: what each prints is decided here."""

    def __init__(self, folder: Path, model: Path) -> None:
        super().__init__(folder)
        Path(self.root).mkdir()
        self.rng = random.Random(0)
        self.model_sha256 = sha256_of(model)
        self.wrong = ""
        """Which of the answers is changed."""
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float) -> Completed:
        kind, right = self._right(list(argv), stdin)
        code, stderr = 0, b""
        if kind == self.wrong:
            right = self._changed(right)
            code = self.rng.choice((0, 0, 0, 1, -9, 137, 255, -300))
            stderr = changed_bytes(self.rng, b"last words\n" + ESCAPES.encode())
        elif isinstance(right, dict):
            right = json.dumps(right).encode()
        if len(right) > STDOUT_BYTES:
            raise DeviceError(too_large(argv[0], STDOUT_BYTES))
        return Completed(code, right, stderr)

    def _changed(self, right: Any) -> bytes:
        if isinstance(right, dict):
            return changed_json(self.rng, right, self.rng.choice((1, 1, 2, 4)))
        return changed_bytes(self.rng, right)

    def _right(self, argv: list[str], stdin: bytes) -> tuple[str, Any]:
        if stdin:
            request = json.loads(stdin)
            return request["command"], answered(self._result(request))
        if argv[0] == "uname":
            return "uname", b"Linux aarch64\n"
        if argv[-1] == "--version":
            return "version", b"Python 3.11.2\n"
        if argv[1] == "-c" and argv[0] != "sh":
            return "imports", IMPORTS.encode()
        if argv[0] == "sh" and "loadavg" in argv[2] and "uname" not in argv[2]:
            return "state", ANDROID_STATE.encode()
        if argv[0] == "sh" and "uname" in argv[2]:
            return "android", ANDROID.encode()
        if argv[0] == "sh":
            return "logs", self._logs(argv)
        return "benchmark", LOG.encode()

    def _logs(self, argv: list[str]) -> bytes:
        folder, mark = argv[4], argv[6]
        outputs = bytes(3 * 4) * SAMPLES
        if self.wrong == "outs":
            outputs = changed_bytes(self.rng, outputs) * self.rng.choice((1, 1, 1000))
        Path(folder, "outs").write_bytes(outputs)
        return f"{mark}0\n{LOG}".encode() * SAMPLES

    def _result(self, request: dict[str, Any]) -> Any:
        command = request["command"]
        if command == "probe":
            return PROBE
        if command == "build":
            return ENGINE
        if command == "optimise":
            Path(request["output"]).write_bytes(b"graph" * 50)
            return {"runtime": "onnxruntime 1.20.0", "machine": "aarch64"}
        if command == "infer":
            self._write_outputs(Path(request["outputs"]))
            return {"samples": SAMPLES, "model_sha256": self.model_sha256}
        if command == "usage":
            return {**MEMORY, "model_sha256": self.model_sha256}
        if command == "sweep":
            return swept(request, self.model_sha256)
        if command == "profile":
            return {**COUNTING, "model_sha256": self.model_sha256}
        if command == "together":
            one = turn(self.model_sha256) | {"bursts_ms": [1.25, 1.75]}
            return {"answers": [answered(one) for _ in request["turns"]]}
        return turn(self.model_sha256)

    def _write_outputs(self, path: Path) -> None:
        array: np.ndarray = np.ones((SAMPLES, 3), np.float32)
        if self.wrong != "npz":
            write_npz(path, {"y": array})
            return
        path.write_bytes(changed_archive(self.rng, array))


def swept(request: dict[str, Any], sha256: str) -> dict[str, Any]:
    files = [
        {"name": name, "model_sha256": sha256, "rounds_ms": [1.5, 1.25, 1.75]}
        for name in request["files"]
    ]
    return {"files": files, "threads": 1, "versions": {"numpy": "1.26.4"}, "notes": ["a note"]}


def turn(sha256: str) -> dict[str, Any]:
    return {
        "init_time_ms": 3.5,
        "first_inference_ms": 2.0,
        "warmup_ms": [2.0],
        "latency_ms": [1.5, 1.25, 1.75],
        "peak_rss_bytes": 1 << 20,
        "runtime_rss_bytes": 1 << 20,
        "model_sha256": sha256,
        "threads": 1,
        "before": STATE,
        "after": STATE,
        "telemetry": [SAMPLE, SAMPLE],
        "power_of": "VDD_IN",
        "energy_mj_per_inference": 4.5,
        "versions": {"numpy": "1.26.4"},
        "notes": ["a note"],
    }


def answered(result: Any) -> dict[str, Any]:
    return {"schema_version": 1, "ok": True, "result": result, "error": None}


def changed_archive(rng: random.Random, array: np.ndarray) -> bytes:
    """An .npz with another array, another header, more than it says, or other bytes."""
    way = rng.randrange(9)
    buffer = io.BytesIO()
    compression = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        member = io.BytesIO()
        pickles = way == 0
        np.lib.format.write_array(member, _other(rng, way, array), allow_pickle=pickles)
        content = member.getvalue()
        if way == 1:
            content = changed_bytes(rng, content)
        elif way == 2:
            content += bytes(rng.choice((1, 1 << 20, 4 << 20)))
        elif way == 3:
            content = content.replace(b"(4, 3)", rng.choice(SHAPES))
        elif way == 4:
            content = content.replace(b"'<f4'", rng.choice(TYPES))
        archive.writestr("y.npy", content)
        if way == 5:
            archive.writestr(rng.choice(("y.npy", "../y.npy", ESCAPES, "no")), content)
    whole = buffer.getvalue()
    return changed_bytes(rng, whole) if way in (6, 7) else whole


SHAPES = (
    b"(4,-3)", b"(99999999,99999999)", b"(4,)", b"()", b"(True,3)", b"(4, '3')", b"((((((4)))))",
    b"(4, 3", b"[4, 3]", b"(0, 3)", b"(4, 3e0)", b"(" * 9_000, b"(10**99,)",
)  # fmt: skip
TYPES = (
    b"'|O'", b"'<U9'", b"'<c8'", b"'<M8[s]'", b"[('a','<f4')]", b"'|V4'", b"'<f16'", b"None",
    b"{'a': 1}", b"'<f4' ,", b"'no'", b"('<f4', (2,))", b"1",
)  # fmt: skip


def _other(rng: random.Random, way: int, array: np.ndarray) -> np.ndarray:
    if way == 0:
        return np.array([["x"] * 3] * SAMPLES, object)
    if way == 8:
        shapes = ((SAMPLES, 3, 1), (SAMPLES + 1, 3), (3,), (), (SAMPLES, 0), (0, 3))
        return np.ones(rng.choice(shapes), rng.choice((np.float32, np.float64, np.int8, np.bool_)))
    return array
