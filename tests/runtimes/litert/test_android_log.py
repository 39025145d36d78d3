"""Which delegate ran: by the nodes that it took, in words of real logs."""

import pytest

from edgecompress.errors import AgentError
from edgecompress.runtimes.litert.android_log import (
    delegation_notes,
    read_run,
    run_flags,
    summary_of,
)
from edgecompress.spec.protocol import Standard
from edgecompress.vendor.benchmark_model import Timings

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
        # Two subgraphs: one line each, and the nodes of both count.
        (
            NNAPI.format("20 out of 20") + NNAPI.format("5 out of 10"),
            "nnapi",
            ("nnapi runs 25 of 30 nodes; the CPU runs the rest",),
        ),
        # Old tools do not say of how many; then words count.
        (
            NNAPI.format("20"),
            "nnapi",
            ("nnapi runs a part of the graph; the CPU runs the rest",),
        ),
        (NNAPI.format("20") + COMPLETELY.format("NNAPI"), "nnapi", ()),
        (
            NNAPI.format("31 out of 31") + PARTIALLY.format("NNAPI"),
            "nnapi",
            ("nnapi runs 31 of 31 nodes; the CPU runs the rest",),
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
    protocol = Standard(warmup_iterations=20, min_iterations=200, min_duration_s=2.0, turns=5)
    flags = run_flags("nnapi", 4, protocol)
    assert {"--warmup_runs=21", "--num_runs=200", "--min_secs=2.0"} <= set(flags)
    # The tool's own limit of 150 s must not end a run before it has its iterations.
    assert "--max_secs=602.0" in flags
    assert {"--num_threads=4", "--use_nnapi=true", "--disable_nnapi_cpu=true"} <= set(flags)


def test_outputs_alone_are_one_run_and_the_warm_up_that_the_tool_needs():
    flags = run_flags(None, 1, None)
    assert {"--warmup_runs=1", "--num_runs=1", "--min_secs=0.0", "--use_xnnpack=false"} <= set(
        flags
    )


def test_a_run_of_one_inference_has_that_alone():
    one = summary_of(Timings(count=1, latency_ms_last=3.0))
    assert (one.latency_ms_mean, one.latency_ms_min, one.latency_ms_max) == (3.0, 3.0, 3.0)
    many = Timings(
        count=9, latency_ms_last=3.0, latency_ms_mean=4.0, latency_ms_min=2.0, latency_ms_max=9.0
    )
    found = summary_of(many)
    assert (found.latency_ms_mean, found.latency_ms_min, found.latency_ms_max) == (4.0, 2.0, 9.0)
    for missing in ("mean", "min", "max"):
        timings = many.model_copy(update={"latency_ms_last": None, f"latency_ms_{missing}": None})
        with pytest.raises(AgentError, match="has no avg, min or max"):
            summary_of(timings)
