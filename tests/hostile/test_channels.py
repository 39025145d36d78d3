"""Whatever bytes a device sends: an EdgecompressError, soon, in little memory.

`--hostile N` is how many answers of each channel are tried; the promise, which
`benchmarks/hostile.py` shows, is 100,000 in all.
"""

from pathlib import Path

import pytest
from hostile.adb import AdbChannel
from hostile.agent import AgentChannel
from hostile.channel import Channel, run
from hostile.documents import DocumentsChannel
from hostile.helper import HelperChannel
from pushing import quick_folder

CHANNELS = (HelperChannel, AgentChannel, DocumentsChannel, AdbChannel)
MOST_BYTES = 100 << 20
SLOWEST_S = 20.0
"""What deadlines of 0.2 s come to, on a machine that does other things."""


@pytest.mark.parametrize("kind", CHANNELS, ids=lambda kind: kind.name)
def test_only_errors_of_ours(
    kind: type[Channel], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if kind is HelperChannel:
        pytest.importorskip("asyncssh")
    if kind is AdbChannel:
        pytest.importorskip("adbutils")
    with quick_folder(tmp_path) as folder:
        channel = kind(folder)
        try:
            outcome = run(channel, range(pytestconfig.getoption("--hostile")))
        finally:
            channel.close()
    assert not outcome.violations, outcome.violations[0]
    # A push that fails is an answer too, so that what is refused may be a small part.
    assert outcome.kinds["answered"] < outcome.count * 0.9
    assert outcome.grown_bytes < MOST_BYTES
    assert outcome.slowest_s < SLOWEST_S, outcome.slowest_seed
