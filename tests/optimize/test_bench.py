"""What trials are made with, on the tiny task."""

from pathlib import Path

from edgecompress.optimize.bench import opened
from edgecompress.optimize.openers import openers
from edgecompress.pipeline.orders import Measured, deploy_order
from edgecompress.progress import SilentProgress


class Scans(SilentProgress):
    """Counts the groups whose cuts were scored."""

    count = 0

    def step(self, done: int, total: int, text: str) -> None:
        self.count += text == "sensitivity"


def test_a_proxy_has_the_shape_that_is_trained_later(project: Path) -> None:
    order = deploy_order(project / "deploy.yaml", ["tiny"], Measured(project / "inventory.yaml"))
    scans = Scans()
    with opened(order, scans) as bench:
        by_loss = [
            plan
            for plan in openers(bench.space, bench.space.targets[0].name)
            if plan.params.get("allocation") == "sensitivity"
        ]
        plan = by_loss[0]
        assert bench.space.shape(plan) == bench.space.shape(plan.on(1, 1))
        bench.file(plan)
        assert scans.count
        before = scans.count
        bench.file(plan.on(1, 1))
        assert scans.count == before, "what it cuts was known"
        # What trains otherwise may be cut otherwise.
        other = plan.model_copy(update={"params": {**plan.params, "rate": 3.0}})
        assert bench.space.shape(other) != bench.space.shape(plan)
        bench.file(other)
        assert scans.count > before
