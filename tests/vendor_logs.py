"""The logs of tests/vendor/logs, what each of them says, and who reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from edgecompress.spec.base import Spec
from edgecompress.vendor.benchmark_model import parse_benchmark_model
from edgecompress.vendor.dumpsys import parse_thermalservice
from edgecompress.vendor.inference_diff import parse_inference_diff
from edgecompress.vendor.label_image import parse_label_image
from edgecompress.vendor.nnapi_plan import parse_nnapi_plan
from edgecompress.vendor.onnxruntime_perf_test import parse_onnxruntime_perf_test
from edgecompress.vendor.onnxruntime_profile import parse_onnxruntime_profile
from edgecompress.vendor.tegrastats import parse_tegrastats
from edgecompress.vendor.trtexec import parse_trtexec
from edgecompress.vendor.trtexec_json import (
    parse_export_profile,
    parse_export_times,
    parse_trex_metadata,
)
from edgecompress.vendor.vcgencmd import parse_sysfs_throttled, parse_vcgencmd

FOLDER = Path(__file__).parent / "vendor"
PARSERS: dict[str, Callable[[str], Spec | None]] = {
    "benchmark_model": parse_benchmark_model,
    "export_profile": parse_export_profile,
    "export_times": parse_export_times,
    "inference_diff": parse_inference_diff,
    "label_image": parse_label_image,
    "nnapi_plan": parse_nnapi_plan,
    "onnxruntime_perf_test": parse_onnxruntime_perf_test,
    "onnxruntime_profile": parse_onnxruntime_profile,
    "sysfs_throttled": parse_sysfs_throttled,
    "tegrastats": parse_tegrastats,
    "thermalservice": parse_thermalservice,
    "trex_metadata": parse_trex_metadata,
    "trtexec": parse_trtexec,
    "vcgencmd": parse_vcgencmd,
}


class Log(NamedTuple):
    name: str
    content: bytes
    parser: str
    expected: dict[str, JsonValue]
    """Without what is None or empty; of a long list, its length and some of its items."""

    def read(self) -> Spec | None:
        return parse(self.parser, self.content)


def parse(parser: str, content: bytes) -> Spec | None:
    return PARSERS[parser](content.decode("utf-8", "replace"))


def load(name: str) -> Log:
    document = json.loads((FOLDER / "expected" / f"{name}.json").read_text())
    content = (FOLDER / "logs" / name).read_bytes()
    return Log(name, content, document["parser"], document["expected"])


NAMES = sorted(path.name for path in (FOLDER / "logs").iterdir() if path.name != "SOURCES.txt")
