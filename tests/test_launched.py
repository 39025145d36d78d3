"""Which process of a command this is, by what launchers leave in the environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgecompress.launched import _number, launched

GIVEN = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def test_a_launcher_that_starts_all() -> None:
    found = launched(GIVEN)
    assert found is not None
    assert (found.rank, found.size, found.is_main) == (1, 4, False)
    main = launched({**GIVEN, "RANK": "0"})
    assert main is not None
    assert main.is_main


@pytest.mark.parametrize(
    "changed",
    [
        {"WORLD_SIZE": "1", "RANK": "0"},
        {"WORLD_SIZE": "many"},
        {"RANK": "4"},
        {"RANK": ""},
        {"MASTER_ADDR": ""},
    ],
)
def test_an_environment_of_one_process(changed: dict[str, str]) -> None:
    assert launched({**GIVEN, **changed}) is None
    assert launched({}) is None


def test_a_launcher_that_starts_one_for_several(tmp_path: Path) -> None:
    """`accelerate launch --num_processes N` without GPUs; N is in its command line alone."""
    script = tmp_path / "asked.py"
    script.write_text(
        "import os\nfrom edgecompress.launched import launched\nprint(launched(os.environ))\n"
    )
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu"]
    for number, wanted in (("3", "Launched(rank=0, size=3, others=[])"), ("1", "None")):
        done = subprocess.run(
            [*command, "--num_processes", number, str(script)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == wanted


def test_the_number_of_accelerates_settings(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nmixed_precision: 'no'\n"
        "num_machines: 1\nnum_processes: 6\nuse_cpu: true\ndebug: false\n"
    )
    assert _number(None, str(settings)) == 6
    assert _number(2, str(settings)) == 2
    assert _number(None, str(tmp_path / "none.yaml")) == 1
