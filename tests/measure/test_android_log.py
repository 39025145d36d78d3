"""Which delegate ran: by the nodes that it took, in words of real logs."""

import pytest

from edgecompress.errors import AgentError
from edgecompress.measure.android_log import delegation_notes, read_run, run_flags
from edgecompress.spec.target import MeasurementProtocol

RUN = """INFO: count=50 first=3 curr=3 min=2 max=9 avg=3.5 std=1 p5=2 median=3 p95=7
INFO: Inference timings in us: Init: 9, First inference: 5, Warmup (avg): 5, Inference (avg): 3.5
"""
NNAPI = (
    "VERBOSE: Replacing {} node(s) with delegate (TfLiteNnapiDelegate) node, yielding 2 partitions"
    " for the whole graph.\n"
)
GPU = (
    "VERBOSE: Replacing 49 out of 49 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1"
    " partitions for subgraph 0.\n"
)
COMPLETELY = (
    "INFO: Explicitly applied {} delegate, and the model graph will be completely executed by the"
    " delegate.\n"
)
PARTIALLY = (
    "INFO: Explicitly applied {} delegate, and the model graph will be partially executed by the"
    " delegate w/ 2 delegate kernels.\n"
)
NOT = (
    "INFO: Though {} delegate is explicitly applied, the model graph will not be executed by the"
    " delegate.\n"
)
CREATED = "INFO: Created TensorFlow Lite delegate for NNAPI.\nINFO: NNAPI delegate created.\n"


def notes(text, delegate):
    return delegation_notes(read_run(text + RUN, 0, "phone"), delegate, "phone")


@pytest.mark.parametrize(
    ("text", "delegate", "expected"),
    [
        (NNAPI.format("31 out of 31") + COMPLETELY.format("NNAPI"), "nnapi", ()),
        (GPU + COMPLETELY.format("GPU"), "gpu", ()),
        (COMPLETELY.format("XNNPACK"), "xnnpack", ()),
        (
            NNAPI.format("20 out of 31") + PARTIALLY.format("NNAPI"),
            "nnapi",
            ("nnapi runs 20 of 31 nodes; the CPU runs the rest",),
        ),
        (
            PARTIALLY.format("XNNPACK"),
            "xnnpack",
            ("xnnpack runs a part of the graph; the CPU runs the rest",),
        ),
        (CREATED, None, ()),
    ],
)
def test_what_the_delegate_runs(text, delegate, expected):
    assert notes(text, delegate) == expected


@pytest.mark.parametrize(
    ("text", "delegate", "expected"),
    [
        (CREATED, "nnapi", "the log does not say that it runs anything"),
        (CREATED + NOT.format("NNAPI"), "nnapi", "runs no node"),
        (CREATED + NNAPI.format("0 out of 31"), "nnapi", "runs no node"),
        # The GPU has them all, and NNAPI was asked for.
        (GPU + COMPLETELY.format("GPU") + NOT.format("NNAPI"), "nnapi", "runs no node"),
    ],
)
def test_a_delegate_that_was_asked_for_and_not_got(text, delegate, expected):
    with pytest.raises(AgentError, match=expected):
        notes(text, delegate)


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (RUN + "ERROR: Benchmarking failed.\n", 0, "phone: Benchmarking failed"),
        (RUN, 1, "phone: exit code 1; it last said: INFO: Inference timings"),
        ("INFO: STARTING!\n", 0, "phone: the log is not complete"),
        (RUN + RUN, 0, "phone: the log holds several runs"),
    ],
)
def test_what_is_no_success(text, code, expected):
    with pytest.raises(AgentError, match=expected):
        read_run(text, code, "phone")


def test_flags_of_a_measurement_keep_the_first_inference_apart():
    protocol = MeasurementProtocol(
        warmup_iterations=20, min_iterations=200, min_duration_s=2.0, turns=5
    )
    flags = run_flags("nnapi", 4, protocol)
    assert {"--warmup_runs=21", "--num_runs=200", "--min_secs=2.0"} <= set(flags)
    assert {"--num_threads=4", "--use_nnapi=true", "--disable_nnapi_cpu=true"} <= set(flags)
