"""Two real processes train what one trains: the same gradients, one store, one voice."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from shared_training import CASES, all_cases

HERE = Path(__file__).parent
SAME = ["plain", "steps", "taught", "adamw", "lambda", "after"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return all_cases(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left there."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "notes").mkdir()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    shared = {
        **os.environ,
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "NOTES": str(folder / "notes"),
        "OMP_NUM_THREADS": "1",
    }
    running = [
        subprocess.Popen(
            [sys.executable, str(HERE / "shared_training.py"), str(folder)],
            env={**shared, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
        )
        for rank in ("0", "1")
    ]
    try:
        for one_of_both in running:
            _, told = one_of_both.communicate(timeout=300)
            assert one_of_both.returncode == 0, told.decode()
    finally:
        for one_of_both in running:
            one_of_both.kill()
    return folder


@pytest.fixture(scope="module")
def together(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "found.pt")
    return found


@pytest.mark.parametrize("name", SAME)
def test_the_same_as_one_process(
    name: str, alone: dict[str, Any], together: dict[str, Any]
) -> None:
    for one, two in zip(alone[name]["rows"], together[name]["rows"], strict=True):
        assert one.pop("stage") == two.pop("stage") == name
        assert two == pytest.approx(one, rel=1e-4)
    for key, value in alone[name]["model"].items():
        torch.testing.assert_close(together[name]["model"][key], value, rtol=1e-4, atol=1e-5)


def test_batch_norm_has_the_statistics_of_parts(
    alone: dict[str, Any], together: dict[str, Any]
) -> None:
    ours, theirs = (found["normed"]["model"]["1.running_mean"] for found in (together, alone))
    torch.testing.assert_close(ours, theirs, rtol=0.2, atol=0.02)
    assert together["normed"]["rows"][-1]["metric"] > 0.8
    steps = together["normed"]["model"]["1.num_batches_tracked"]
    assert steps == alone["normed"]["model"]["1.num_batches_tracked"]


def test_both_computed_half_of_each_batch(folder: Path, together: dict[str, Any]) -> None:
    seen = {
        rank: [int(line) for line in (folder / "notes" / rank).read_text().split()]
        for rank in ("0", "1")
    }
    # The first case: two epochs of 20, 20, 20 and 15 samples.
    assert seen["0"][:8] == [10, 10, 10, 8] * 2
    assert seen["1"][:8] == [10, 10, 10, 7] * 2


def test_a_model_that_cannot_be_sent_trains_in_one(together: dict[str, Any]) -> None:
    (note,) = together["lambda"]["notes"]
    assert note.startswith("lambda: trains in one process of 2: the model cannot be sent")
    assert together["plain"]["notes"] == []


def test_what_goes_wrong_elsewhere_is_told_here(together: dict[str, Any]) -> None:
    assert together["failing"]["error"].startswith(
        "TaskError: Failing.loss(): ValueError: no part of mine; look at "
    )


def test_all_end_with_the_same_code(folder: Path, together: dict[str, Any]) -> None:
    assert [(folder / f"code-{rank}").read_text() for rank in (0, 1)] == ["7", "7"]
    assert set(together) == set(CASES)
