"""What the logs at hand do not show: other releases, other boards, and tools that run here."""

from pathlib import Path

import numpy as np
import onnx_files
import pytest

from edgecompress.vendor.benchmark_model import parse_benchmark_model
from edgecompress.vendor.dumpsys import parse_thermalservice
from edgecompress.vendor.onnxruntime_perf_test import parse_onnxruntime_perf_test
from edgecompress.vendor.onnxruntime_profile import parse_onnxruntime_profile
from edgecompress.vendor.tegrastats import parse_tegrastats
from edgecompress.vendor.trtexec import parse_trtexec
from edgecompress.vendor.vcgencmd import Throttled, parse_sysfs_throttled, parse_vcgencmd

RUN = (
    "INFO: count=50 curr=2000(all same)\n"
    "INFO: Inference timings in us: Init: 1779, First inference: 3000, Warmup (avg): 2500,"
    " Inference (avg): 2000\n"
)


def test_samples_that_are_all_the_same():
    said = parse_benchmark_model(RUN)
    assert said.passed
    assert said.run is not None
    assert (said.run.count, said.run.latency_ms_last, said.run.latency_ms_mean) == (50, 2.0, None)


@pytest.mark.parametrize(
    ("line", "executed", "kernels"),
    [
        (
            "Explicitly applied GPU delegate, and the model graph will be partially executed by"
            " the delegate w/ 2 delegate kernels.",
            "partially",
            2,
        ),
        (
            "Though GPU delegate is explicitly applied, the model graph will not be executed by the"
            " delegate.",
            "not",
            None,
        ),
    ],
)
@pytest.mark.parametrize(
    "prefix", ["", "INFO: ", "08-17 21:47:49.138 29423 29423 I tflite  : ", "I/tflite  (29423): "]
)
def test_delegates_by_any_prefix(prefix, line, executed, kernels):
    (applied,) = parse_benchmark_model(f"{prefix}{line}\n").applied
    assert (applied.delegate, applied.executed, applied.kernels) == ("GPU", executed, kernels)


def test_nodes_without_their_total():
    line = "Replacing 31 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions.\n"
    (delegation,) = parse_benchmark_model(line).delegations
    assert (delegation.nodes, delegation.of_nodes, delegation.partitions) == (31, None, 1)


@pytest.mark.parametrize(
    "line",
    [
        "Benchmarking failed.",
        "Failed to apply GPU delegate.",
        "ERROR: Restored original execution plan after delegate application failure.",
        "Disallowed CPU fallback detected.",
    ],
)
def test_figures_beside_a_failure_are_no_success(line):
    assert parse_benchmark_model(RUN).passed
    assert not parse_benchmark_model(f"{line}\n{RUN}").passed
    assert not parse_benchmark_model(f"{RUN}{line}\n").passed


def test_a_summary_that_its_samples_contradict():
    said = parse_benchmark_model(RUN.replace("(avg): 2000", "(avg): 200"))
    assert said.failure == (
        "no line 'count=.. avg=..' agrees with the mean of 'Inference timings in us: ..'"
    )


def test_cached_temperatures_are_not_read():
    text = (
        "Cached temperatures:\n\tTemperature{mValue=25.3, mType=4, mName=TYPE_SKIN, mStatus=0}\n"
        "HAL Ready: false\n"
    )
    assert parse_thermalservice(text).temperatures == ()


def test_a_profile_of_trtexec_since_8_6():
    said = parse_trtexec(
        "[01/20/2024-20:25:39] [I] === Profile (290 iterations ) ===\n"
        "[01/20/2024-20:25:39] [I]    Time(ms)     Avg.(ms)   Median(ms)   Time(%)   Layer\n"
        "[01/20/2024-20:25:39] [I]     1667.74       5.7508       5.7308      97.7   Einsum_1\n"
        "[01/20/2024-20:25:39] [I]     1707.30       5.8873       5.8619     100.0   Total\n"
    )
    (layer,) = said.profile
    assert (layer.name, layer.total_ms, layer.mean_ms) == ("Einsum_1", 1667.74, 5.7508)
    assert (layer.median_ms, layer.percent) == (5.7308, 97.7)
    assert said.profile_total is not None
    assert said.profile_total.total_ms == 1707.30


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "WAIVED"])
def test_only_passed_is_a_success(state):
    banner = "&&&& {} TensorRT.trtexec [TensorRT v100300] # trtexec --onnx=m.onnx\n"
    assert parse_trtexec(banner.format("PASSED")).passed
    assert not parse_trtexec(banner.format(state)).passed


def test_the_rail_of_the_whole_module():
    line = "RAM 1/2MB {} 1183mW/1184mW VDD_CPU 152mW/152mW\n"
    (known,) = parse_tegrastats(line.format("VDD_IN")).samples
    (unknown,) = parse_tegrastats(line.format("VDD_GPU_SOC")).samples
    assert (known.module_power_mw, unknown.module_power_mw) == (1183, None)


def test_flags_in_words():
    assert Throttled(bits=0x50005).now == ("under-voltage", "throttled")
    assert Throttled(bits=0xA0008).now == ("soft temperature limit",)
    assert Throttled(bits=0xA0008).since_boot == ("frequency capped", "soft temperature limit")


@pytest.mark.parametrize(
    "line",
    [
        "VCHI initialization failed",
        "Can't open device file: /dev/vcio",
        'error=1 error_msg="Command not registered"',
    ],
)
def test_no_access_to_the_firmware(line):
    said = parse_vcgencmd(f"{line}\n")
    assert said.failure is not None
    assert said.failure.startswith(line)


def test_volts_and_clocks():
    said = parse_vcgencmd("volt=1.2000V\nfrequency(48)=1500345728\n")
    assert said.volts == (1.2,)
    assert said.clocks[0].clock_mhz == 1500.345728


@pytest.mark.parametrize(
    ("text", "bits"),
    [("80008\n", 0x80008), ("0x0\n", 0), ("80008", None), ("", None), ("x\n", None)],
)
def test_sysfs_flags(text, bits):
    said = parse_sysfs_throttled(text)
    assert (None if said is None else said.bits) == bits


NEW_PERF_TEST = """Session creation time cost: 0.217932 s
First inference time cost: 196 ms
Total inference time cost: 0.49481 s
Total inference requests: 5
Average inference time cost total: 98.961997 ms
Total inference run time: 0.494854 s
Number of inferences per second: 10.104
Avg CPU usage: 11 %
Peak working set size: 271122432 bytes
Avg CPU usage:11
Peak working set size:271122432
Runs:5
Min Latency: 0.0958204 s
Max Latency: 0.101519 s
P50 Latency: 0.0995086 s
P90 Latency: 0.101519 s
P95 Latency: 0.101519 s
P99 Latency: 0.101519 s
P999 Latency: 0.101519 s
"""


def test_perf_test_of_today():
    said = parse_onnxruntime_perf_test(NEW_PERF_TEST)
    assert said.passed
    assert (said.init_time_ms, said.first_inference_ms, said.iterations) == (217.932, 196.0, 5)
    assert (said.latency_ms_mean, said.latency_ms_p50) == (98.961997, 99.5086)
    assert said.peak_rss_bytes == 271122432


@pytest.mark.parametrize("lost", ["Total inference requests", "P999", "P50", "Average"])
def test_perf_test_that_lost_a_line(lost):
    lines = NEW_PERF_TEST.splitlines(keepends=True)
    said = parse_onnxruntime_perf_test("".join(line for line in lines if lost not in line))
    assert not said.passed


def test_a_profile_of_the_onnxruntime_that_is_installed(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = tmp_path / "model.onnx"
    onnx_files.linear(model, features=8, classes=3)
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(
        model, sess_options=options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    for _ in range(3):
        session.run(None, {given.name: np.zeros((1, 8), np.float32)})
    text = Path(session.end_profiling()).read_text()

    profile = parse_onnxruntime_profile(text)
    assert profile.passed
    assert profile.ops_of("CPUExecutionProvider") == {node.op_type for node in profile.nodes}
    assert len(profile.nodes) % 3 == 0
    assert profile.nodes
    assert {"model_run", "session_initialization"} <= {time.name for time in profile.session}
    assert not parse_onnxruntime_profile(text[:-40]).passed
