"""What the logs at hand do not show: other releases and other boards."""

import pytest

from edgecompress.vendor.benchmark_model import parse_benchmark_model
from edgecompress.vendor.dumpsys import parse_thermalservice
from edgecompress.vendor.vcgencmd import Throttled

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


def test_flags_in_words():
    assert Throttled(bits=0x50005).now == ("under-voltage", "throttled")
    assert Throttled(bits=0xA0008).now == ("soft temperature limit",)
    assert Throttled(bits=0xA0008).since_boot == ("frequency capped", "soft temperature limit")
