"""deploy.yaml files of the tiny task for a search, which takes seconds; and what stands for its
bench, which takes none.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgecompress.optimize.front import Aims
from edgecompress.optimize.place import Place
from edgecompress.optimize.plan import Outcome, Plan, Tried
from edgecompress.optimize.search import Limits, Search
from edgecompress.optimize.space import Space
from edgecompress.optimize.study import Study
from edgecompress.progress import SilentProgress
from edgecompress.spec.deploy import Budgets

TRIALS = 14

AUTO = """\
task: {path: task.py:Tiny}
seed: 0
recipe: auto
train: {epochs: 1, optimizer: adamw, learning_rate: 0.01}
budgets: {max_metric_drop: 0.5}
"""
OWN = AUTO.replace(
    "recipe: auto\n",
    "quantize: {mode: qat, ranges: minmax, calibration_batches: 2,"
    " train: {epochs: 1, optimizer: sgd, learning_rate: 0.005}}\n",
)


@dataclass
class Made:
    """What stands for a bench: outcomes that follow from the plan alone, and a log of them all."""

    space: Space
    log: Path
    trial_s: float = 0.01
    progress: SilentProgress = field(default_factory=SilentProgress)

    @property
    def aims(self) -> Aims:
        return Aims(0.9, True, Budgets(max_metric_drop=0.01))

    def tried(self, plan: Plan, _: object) -> Outcome:
        with self.log.open("a") as file:
            file.write(f"begun {plan.key} {plan.rung}\n")
        time.sleep(self.trial_s)
        reduction = float(plan.params.get("reduction", 1.0))
        noise = random.Random(plan.key).uniform(0, 0.01)
        lost = 0.01 * reduction * 3.0 / (3.0 + plan.epochs) + noise
        with self.log.open("a") as file:
            file.write(f"done {plan.key} {plan.rung}\n")
        return Outcome(
            metric=0.9 - lost,
            exact=reduction == 1 or plan.epochs > 0,
            latency_ms_p50=1.0 / reduction,
            model_size_bytes=1000,
            seconds=self.trial_s,
            epoch_s=0.01,
        )

    def changed(self, read: str) -> str | None:
        return None

    def keep_hints(self) -> None:
        pass

    def lines(self, word: str) -> list[str]:
        return [
            line[len(word) + 1 :]
            for line in self.log.read_text().splitlines()
            if line.startswith(word)
        ]


def search(made: Made, place: Callable[[], Place], trials: int = TRIALS) -> list[Tried]:
    study = Study(place(), "one", 0, maximises=True)
    Search(made, study, Limits(trials=trials)).run()  # type: ignore[arg-type]
    found = study.trials()
    study.close()
    return found
