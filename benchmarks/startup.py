"""What the commands cost by themselves, in CPU seconds (user and system, this process and those it
starts), which another load on the machine changes little; and as a multiple of `import torch`.

    python benchmarks/startup.py [FOLDER]

FOLDER: where a deploy.yaml lies whose runs are in `runs/`; default: an empty one, where `report` is
left out. With one, a deploy for a board that is not at hand is timed too, twice: the second finds
all its stages in the store and measures nothing.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPEATS = 5
LIMITS_S = {"runs": 0.5, "targets list": 0.5, "report latest": 0.5, "doctor": 2.0}
BOARD = "raspberry-pi-5-onnxruntime"
DEPLOY_S = 3.0


def cpu_s(command: list[str], folder: Path) -> float:
    before = os.times()
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    after = os.times()
    children = (after.children_user, after.children_system)
    return sum(children) - before.children_user - before.children_system


def median_s(command: list[str], folder: Path) -> float:
    return statistics.median(cpu_s(command, folder) for _ in range(REPEATS))


def main() -> int:
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(empty)
        tool = [sys.executable, "-m", "edgecompress"]
        torch_s = median_s([sys.executable, "-c", "import torch"], folder)
        print(f"{'import torch':32} {torch_s:6.2f} s")
        failed = 0
        for name, limit in LIMITS_S.items():
            if name.startswith("report") and not (folder / "runs").is_dir():
                continue
            failed += told(name, median_s([*tool, *name.split()], folder), limit, torch_s)
        if (folder / "deploy.yaml").is_file():
            cpu_s([*tool, "deploy", BOARD], folder)
            taken = median_s([*tool, "deploy", BOARD], folder)
            failed += told(f"deploy {BOARD}", taken, DEPLOY_S, torch_s)
    return min(failed, 1)


def told(name: str, taken_s: float, limit_s: float, torch_s: float) -> bool:
    print(f"{name:32} {taken_s:6.2f} s, {taken_s / torch_s:.2f} of torch; at most {limit_s:g} s")
    return taken_s > limit_s


if __name__ == "__main__":
    sys.exit(main())
