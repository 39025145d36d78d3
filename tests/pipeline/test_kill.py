"""A deploy that is killed at any moment, and run again, ends as if nothing had happened.

`python -m pytest tests/pipeline/test_kill.py --kills 30` is the whole promise; see --kills.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import deploying
import pytest


def kill_or_finish(folder: Path, after_s: float, whole_group: bool) -> bool:
    """Start a deploy and SIGKILL it after a while; whether it was still at work then."""
    with subprocess.Popen(
        deploying.command(),
        cwd=folder,
        env=deploying.environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            if whole_group:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            return True
    return False


@pytest.mark.slow
def test_killed_at_random_moments(
    tmp_path: Path, undisturbed, request: pytest.FixtureRequest
) -> None:
    """Each kill is followed by another run, which may be killed too; a folder whose run got to
    its end is compared with the undisturbed one, and the next kills begin in a fresh folder.
    """
    wanted = request.config.getoption("--kills")
    moments = random.Random(0)
    kills = folders = 0
    while kills < wanted:
        folders += 1
        folder = deploying.fresh(tmp_path / f"project-{folders}")
        killed_here = 0
        while kills < wanted and kill_or_finish(
            folder, moments.uniform(0, undisturbed.seconds), moments.random() < 0.5
        ):
            kills, killed_here = kills + 1, killed_here + 1
        start = time.monotonic()
        report = deploying.deploy(folder)
        print(
            f"folder {folders}: {killed_here} kills, then {time.monotonic() - start:.0f} s,"
            f" {deploying.epochs(folder)} epochs asked for, {undisturbed.epochs} needed"
        )
        assert deploying.essence(report) == deploying.essence(undisturbed.report)
        deploying.assert_sound(folder)
        # A kill may cost the epoch it falls into, and no finished one.
        assert undisturbed.epochs <= deploying.epochs(folder) <= undisturbed.epochs + killed_here
