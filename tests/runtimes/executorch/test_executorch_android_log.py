"""The log of executor_runner: every inference, or a failure in one line."""

import pytest

from edgecompress.errors import AgentError
from edgecompress.runtimes.executorch.android_log import read_log

STAMP = "00:00:00.003812 executorch:executor_runner.cpp:250]"
GOOD = (
    f"VmHWM:\t    2048 kB\n"
    f"I {STAMP} Resetting threadpool with num threads = 4\n"
    f"I {STAMP} Model loaded in 12.500000 ms.\n"
    f"I {STAMP} Iteration 1 of 2: 3.250000 ms\n"
    f"VmHWM:\t    4096 kB\n"
    f"I {STAMP} Iteration 2 of 2: 1.000000 ms\r\n"
    f"I {STAMP} Model executed successfully 2 time(s) in 4.250000 ms.\n"
)


def test_a_whole_log():
    log = read_log(GOOD, 0, "phone")
    assert log.init_time_ms == 12.5
    assert log.latency_ms == (3.25, 1.0)
    assert log.peak_rss_bytes == 4096 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("Iteration 1 of 2", "Iteration 1 of 3"),
        GOOD.replace("Iteration 2 of 2", "Iteration 3 of 3"),
        GOOD.replace("successfully 2", "successfully 3"),
        GOOD + GOOD,
        GOOD[: GOOD.index("Model executed")],
        GOOD.replace("3.250000", "3.25O000"),
    ],
)
def test_a_log_that_does_not_tell_of_every_inference(text):
    with pytest.raises(AgentError, match="inferences") as caught:
        read_log(text, 0, "phone")
    assert "\n" not in str(caught.value)


def test_the_last_error_is_told():
    text = f"E {STAMP} Failed to parse model file x.pte\nI {STAMP} bye\n"
    with pytest.raises(AgentError, match=r"^phone: Failed to parse model file x\.pte$"):
        read_log(text, 1, "phone")
    with pytest.raises(AgentError, match="exit code 139"):
        read_log("", 139, "phone")
