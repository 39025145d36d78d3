"""A search that is killed again and again, and two that share one study: nothing may be lost.

    python benchmarks/killed_search.py --trials 40 --kills 5
    python benchmarks/killed_search.py --processes 2 [--study postgresql+psycopg://user@host/base]

Every process is the real command on the 1-D sensor net, with real training and measuring. Trials
that were finished before a kill must be there after it, as they were; processes that share a study
must end with the same front, and none may do what another does.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import yaml
from optimize import document

BOARD = "local"
FIRST_S, LONGEST_S = 15.0, 90.0
"""A process is killed at a moment between."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/killed_search"))
    arguments = parser.parse_args()
    arguments.net, arguments.data = "sensor", Path()
    folder = arguments.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "deploy.yaml").write_text(yaml.safe_dump(document(arguments)))
    url = arguments.study
    chosen, known = random.Random(arguments.seed), finished(folder, url)
    for number in range(arguments.kills):
        wait_s = chosen.uniform(FIRST_S, LONGEST_S)
        (process,) = started(folder, arguments, 1)
        time.sleep(wait_s)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = finished(folder, url)
        lost = [one for one, value in known.items() if now.get(one) != value]
        print(
            f"kill {number + 1} after {wait_s:.0f} s: {len(now)} finished trials, {len(lost)} lost",
            flush=True,
        )
        known = now
    ended = [process.communicate()[0] for process in started(folder, arguments)]
    now = finished(folder, url)
    lost = [one for one, value in known.items() if now.get(one) != value]
    plans = Counter(plan for state, plan, _ in now.values() if state == "COMPLETE")
    twice = sum(count - 1 for count in plans.values())
    print(f"in the end {len(now)} finished trials, {len(lost)} lost, {twice} done twice")
    for text in ended:
        found = json.loads(text)["search"]
        front = [row["number"] for row in found["trials"] if row["on_front"]]
        print(f"front {sorted(front)}, best {found['best']}: {found['decision']}")


def started(
    folder: Path, arguments: argparse.Namespace, processes: int | None = None
) -> list["subprocess.Popen[str]"]:
    """So many searches at once; their groups are their own, so that a kill takes all of one."""
    command = [sys.executable, "-m", "edgecompress", "optimize", BOARD, "--json"]
    command += ["--trials", str(arguments.trials)]
    command += [] if arguments.study is None else ["--study", arguments.study]
    with (folder / "stderr").open("a") as log:
        return [
            subprocess.Popen(
                command,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            for _ in range(arguments.processes if processes is None else processes)
        ]


def finished(folder: Path, url: str | None) -> dict[int, tuple[str, str, Any]]:
    """Each trial of the study by its number: how it ended, its plan, and what came of it."""
    file = folder / "runs" / "search.sqlite"
    if url is None and not file.exists():
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}" if url is None else url)
    found: dict[int, tuple[str, str, Any]] = {}
    for name in optuna.study.get_all_study_names(storage):
        for trial in optuna.load_study(study_name=name, storage=storage).trials:
            if trial.state.is_finished():
                kept = {key: str(value) for key, value in sorted(trial.user_attrs.items())}
                found[trial.number] = (trial.state.name, kept.get("plan", ""), kept)
    return found


if __name__ == "__main__":
    main()
