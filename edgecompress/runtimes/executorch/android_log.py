"""What ExecuTorch's executor_runner prints: `examples/portable/executor_runner/executor_runner.cpp`
and `runtime/platform/default/posix.cpp` of its sources.

A line is `I 00:00:00.003812 executorch:executor_runner.cpp:250] Iteration 1 of 10: 1.25 ms`. Builds
without logging, as Release ones are unless told otherwise, print none.
"""

import re
from typing import NamedTuple

from edgecompress.errors import AgentError
from edgecompress.vendor.text import NUMBER

_SEARCHED = 2000
"""Characters of a line."""
_STAMP = r"^(?P<level>[DIEF]) [0-9:.]{8,20} \S+\] "
_ITERATION = re.compile(
    rf"{_STAMP}Iteration (?P<number>[0-9]{{1,9}}) of (?P<of>[0-9]{{1,9}}): (?P<ms>{NUMBER}) ms$"
)
_LOADED = re.compile(rf"{_STAMP}Model loaded in (?P<ms>{NUMBER}) ms\.$")
_DONE = re.compile(
    rf"{_STAMP}Model executed successfully (?P<count>[0-9]{{1,9}}) time\(s\) in {NUMBER} ms\.$"
)
_ERROR = re.compile(rf"{_STAMP}(?P<text>.*)$")
_PEAK = re.compile(r"^VmHWM:\s+(?P<kib>[0-9]{1,12}) kB$")
BUILD = (
    "build it from ExecuTorch 1.5 or later with -DEXECUTORCH_BUILD_XNNPACK=ON and"
    " -DEXECUTORCH_ENABLE_LOGGING=ON"
)


class Log(NamedTuple):
    init_time_ms: float | None
    """The time to load the program and its method; None where it does not say."""
    latency_ms: tuple[float, ...]
    """Every inference, in order."""
    peak_rss_bytes: int | None
    """The peak of the process, where whoever runs the tool wrote down what /proc says of it."""


def read_log(text: str, returncode: int, where: str) -> Log:
    """What one run printed, stdout and stderr together.

    Raises:
        AgentError: it failed, or does not tell of every inference.

    """
    lines = [line.rstrip("\r")[:_SEARCHED] for line in text.splitlines()]
    if returncode:
        raise AgentError(f"{where}: {_last_words(lines) or f'exit code {returncode}'}")
    done = [found for found in map(_DONE.match, lines) if found is not None]
    iterations = [found for found in map(_ITERATION.match, lines) if found is not None]
    numbers = [int(found["number"]) for found in iterations]
    whole = len(done) == 1 and numbers == list(range(1, int(done[0]["count"]) + 1))
    if not whole or not numbers or {int(found["of"]) for found in iterations} != {len(numbers)}:
        raise AgentError(
            f"{where}: its log tells of {len(numbers)} inferences and {len(done)} ends; {BUILD}"
        )
    loaded = [float(found["ms"]) for found in map(_LOADED.match, lines) if found is not None]
    peaks = [int(found["kib"]) for found in map(_PEAK.match, lines) if found is not None]
    return Log(
        init_time_ms=loaded[0] if len(loaded) == 1 else None,
        latency_ms=tuple(float(found["ms"]) for found in iterations),
        peak_rss_bytes=max(peaks) << 10 if peaks else None,
    )


def _last_words(lines: list[str]) -> str:
    """The last line of a failure, without what stands before its text."""
    matched = [found for found in map(_ERROR.match, lines) if found is not None]
    errors = [found["text"] for found in matched if found["level"] in "EF"]
    said = errors or [line for line in lines if line.strip()]
    return said[-1][:200] if said else ""
