"""What shipped before, for the same task on the same device: a new file must not be worse."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecompress.artifact import sha256_of
from edgecompress.errors import EdgecompressError
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.measuring import RivalFile
from edgecompress.spec.device import Device
from edgecompress.spec.recipe import Recipe
from edgecompress.spec.report import Report
from edgecompress.store import Store

MOST_RUNS = 50
"""Reports are read back from the newest; what shipped before so many is not looked for."""


@dataclass(frozen=True)
class ShippedBefore:
    """The last run that shipped."""

    report: Report
    file: RivalFile | None
    """To be measured beside the new one; None: it is no longer as it was."""


def last_shipped(
    store: Store, recipes: Sequence[Recipe], device: Device | None
) -> ShippedBefore | None:
    """The newest run whose verdict was to ship, of the same task and device.

    Args:
        store: of this deploy's runs.
        recipes: of the target, or of the targets of a board, that is deployed for.
        device: that measures; None: nothing can be compared.

    """
    if device is None or device.emulated:
        return None
    targets = {recipe.target.name: recipe.target for recipe in recipes}
    task = recipes[0].config.task.path
    for report in _shipped(store):
        if (report.task, report.device) == (task, device.id) and report.target in targets:
            target = targets[report.target]
            file = _file_of(report, store.run_dir(report.run))
            name = f"what run {report.run} shipped"
            if file is None:
                store.note(f"{name} is no longer as it was: not compared with")
                return ShippedBefore(report, None)
            artifact = describe_file(file)
            rival = RivalFile("last shipped", name, target, artifact, original=False)
            return ShippedBefore(report, rival)
    return None


def _shipped(store: Store) -> Iterator[Report]:
    rows = [row for row in store.runs() if row.decision == "ship"]
    for row in rows[:MOST_RUNS]:
        try:
            yield store.report(row.id)
        except EdgecompressError:
            # Removed by hand, or damaged: the one before will do.
            continue


def _file_of(report: Report, folder: Path) -> Path | None:
    for kept in report.artifacts:
        path = folder / Path(kept.path).name
        if path.stem == "model" and path.is_file() and sha256_of(path) == kept.sha256:
            return path
    return None
