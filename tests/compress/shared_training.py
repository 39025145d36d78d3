"""One of two real processes that train together: `python shared_training.py FOLDER`, started by
`test_processes.py` with the environment that a launcher gives.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgecompress.compress.distill import Teacher
from edgecompress.compress.hardware import Hardware
from edgecompress.compress.messages import End
from edgecompress.compress.processes import connect
from edgecompress.compress.train import Training, train
from edgecompress.compress.worker import serve
from edgecompress.errors import EdgecompressError
from edgecompress.launched import launched
from edgecompress.progress import SilentProgress
from edgecompress.spec.deploy import DistillSpec, TaskRef, TrainSpec
from edgecompress.task.load import load_task

SPEC = TrainSpec(
    epochs=2, optimizer="sgd", learning_rate=0.05, weight_decay=1e-3, warmup_epochs=0.5
)
CASES: dict[str, dict[str, Any]] = {
    "plain": {"task": "Smooth"},
    "steps": {
        "task": "Smooth",
        "spec": {"accumulate": 3, "ema_decay": 0.9, "gradient_clip": 0.5, "label_smoothing": 0.1},
    },
    "taught": {"task": "Smooth", "distilled": True},
    "adamw": {"task": "Boxes", "spec": {"optimizer": "adamw"}, "distilled": True},
    "normed": {"task": "Normed"},
    "lambda": {"task": "Lambda"},
    "failing": {"task": "Failing"},
    "after": {"task": "Smooth"},
}


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def trained(name: str, folder: Path) -> dict[str, Any]:
    """What came of one case, in this process or in several."""
    case = CASES[name]
    ref = TaskRef(path=f"shared_tasks.py:{case['task']}")
    task = load_task(ref, Path(__file__).parent)
    model, work = task.model(), folder / name
    work.mkdir(parents=True, exist_ok=True)
    settings = Training(name, task, SPEC.model_copy(update=case.get("spec", {})), 3, work, Notes())
    # Halves of a batch do not round as the whole does, which in bfloat16 shows.
    settings.hardware = Hardware
    if case.get("distilled"):
        torch.manual_seed(11)
        teacher = task.model()
        for parameter in teacher.parameters():
            nn.init.normal_(parameter, std=0.3)
        features = DistillSpec(temperature=2.0, weight=0.5)
        settings.teacher = Teacher(teacher, features, task)
    settings.penalty = lambda: 1e-3 * sum(p.square().sum() for p in model.parameters())
    try:
        rows = train(model, settings)
    except EdgecompressError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    notes = settings.progress.notes
    return {"rows": [row.model_dump() for row in rows], "model": model.state_dict(), "notes": notes}


def all_cases(folder: Path) -> dict[str, Any]:
    return {name: trained(name, folder) for name in CASES}


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    found = launched(os.environ)
    assert found is not None
    group = connect(found)
    if found.is_main:
        torch.save(all_cases(folder), folder / "found.pt")
        group.tell([None, End(7)])
        code = 7
    else:
        code = serve(group)
    group.leave()
    (folder / f"code-{found.rank}").write_text(json.dumps(code))


if __name__ == "__main__":
    main()
