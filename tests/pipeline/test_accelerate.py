"""`accelerate launch --num_processes 2 -m edgecompress deploy`, with real processes and kills."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import deploying
import pytest

TASK = '''\
"""The tiny task, which notes who computes its loss, and in which a process may kill itself."""

import os
import signal
from pathlib import Path

import torch
from task import Tiny

HERE = Path(__file__).parent


class Noted(Tiny):
    steps = 0

    def loss(self, outputs, target):
        rank = os.environ.get("RANK", "alone")
        if torch.is_grad_enabled() and outputs.requires_grad:
            self.steps += 1
            print("the task prints", flush=True)
            # Once: a launcher may end this process while a file is being written.
            if self.steps == 1:
                (HERE / f"pid-{rank}").write_text(str(os.getpid()))
            # The second of three epochs of 24 batches.
            if self.steps == 30 and (HERE / f"kill-{rank}").exists():
                os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(outputs, target)
'''
DEPLOY = """\
task: {path: noted.py:Noted}
seed: 0
finetune: {epochs: 3, optimizer: adamw, learning_rate: 0.01}
budgets: {max_metric_drop: 0.5}
"""
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2"]


def launched(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LAUNCH, "-m", "edgecompress", *deploying.DEPLOY],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def pids(folder: Path) -> list[int]:
    return [int((folder / f"pid-{rank}").read_text()) for rank in (0, 1)]


def is_gone(pid: int) -> bool:
    """Whether a process ends within a few seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_two_processes_that_are_killed_and_resume(tmp_path: Path) -> None:
    folder = deploying.unmeasured(tmp_path / "project")
    (folder / "noted.py").write_text(TASK)
    (folder / "deploy.yaml").write_text(DEPLOY)

    for rank in (1, 0):
        (folder / f"kill-{rank}").touch()
        done = launched(folder)
        (folder / f"kill-{rank}").unlink()
        assert done.returncode != 0
        assert len(set(pids(folder))) == 2
        assert all(map(is_gone, pids(folder)))
        if rank == 1:
            error = json.loads(done.stdout)["error"]
            assert error["message"].startswith("another of the 2 training processes is gone; run")
            assert error["exit_code"] == 4
        else:
            assert f"died with <Signals.SIGKILL: {signal.SIGKILL.value}>" in done.stderr

    done = launched(folder)
    # The first was killed in the second epoch, the second in the third: nothing is done twice.
    assert done.stderr.count("finetune: resumed after epoch 2") == 1
    report = json.loads(done.stdout)  # one document, whatever the task prints in either process
    assert [row["epoch"] for row in report["epochs"]] == [1, 2, 3]
    assert report["epochs"][-1]["metric"] > 0.9
    assert all(map(is_gone, pids(folder)))
    deploying.assert_sound(folder)
