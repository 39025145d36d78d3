"""A deploy that is killed at any moment, and run again, ends as if nothing had happened.

`python -m pytest tests/pipeline/test_kill.py --kills 30` is the whole promise; see --kills.
"""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import deploying
import pytest


def deploy_until(
    cli: deploying.Cli, folder: Path, after_s: float | None, whole_session: bool
) -> dict[str, Any] | None:
    """The report of a deploy, or None where it was still at work `after_s` and got SIGKILL."""
    started = cli.start(folder)
    done = started.wait(after_s)
    if done is None:
        (os.killpg if whole_session else os.kill)(started.pid, signal.SIGKILL)
        started.wait()
        return None
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.slow
def test_killed_at_random_moments(
    tmp_path: Path, undisturbed, cli: deploying.Cli, request: pytest.FixtureRequest
) -> None:
    """Each kill is followed by another run, which may be killed too; a run that gets to its end
    is compared with the undisturbed one, and the next kills begin in a fresh folder.
    """
    wanted = request.config.getoption("--kills")
    random_ = random.Random(0)
    # Imports, in which nothing is at stake, are not repeated.
    duration_s = sum(stage["seconds"] for stage in undisturbed.report["stages"])
    kills = folders = 0
    while kills < wanted:
        folders += 1
        folder = deploying.fresh(tmp_path / f"project-{folders}")
        killed_here, report = 0, None
        while report is None:
            moment = random_.uniform(0, duration_s) if kills < wanted else None
            start = time.monotonic()
            report = deploy_until(cli, folder, moment, random_.random() < 0.5)
            if report is None:
                kills, killed_here = kills + 1, killed_here + 1
            elif not killed_here:
                # The machine is less busy now than it was then.
                duration_s = min(duration_s, time.monotonic() - start)
        asked = deploying.epochs(folder)
        print(f"folder {folders}: {killed_here} kills, {asked} of {undisturbed.epochs} epochs")
        assert deploying.essence(report) == deploying.essence(undisturbed.report)
        deploying.assert_sound(folder)
        # A kill may cost the epoch it falls into, and no finished one.
        assert undisturbed.epochs <= asked <= undisturbed.epochs + killed_here
