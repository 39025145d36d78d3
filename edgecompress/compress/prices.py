"""What a model's channels are worth. Finding it out takes long, and an allocation needs one way."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from edgecompress.compress import allocate, importance
from edgecompress.compress.allocate import Kept, Sensitivity, Space
from edgecompress.compress.allocate_latency import Asked, MeasuredSpeed, spans
from edgecompress.compress.groups import ChannelGroup, Cuts, merge
from edgecompress.compress.macs import evaluating
from edgecompress.compress.prune_context import PruneContext
from edgecompress.compress.surgery import cut


@dataclass(frozen=True)
class Ranked:
    """A model, and the order in which its units go."""

    model: nn.Module
    space: Space
    """That of the model with which allocation began, where this one is smaller already."""
    groups: Sequence[ChannelGroup]
    scores: Sequence[Tensor]
    """One for each unit of each group; low ones go first."""

    def cuts(self, goal: Kept, share: float = 1.0) -> Cuts:
        """What to remove to be `share` of the way from the whole model to `goal`."""
        removed = []
        for i, (group, score) in enumerate(zip(self.groups, self.scores, strict=True)):
            whole = len(self.space.groups[i].units)
            least = whole - (whole - goal[i]) * share
            keep = min(level for level in self.space.levels(i) if level >= least - 1e-9)
            order = score.argsort(stable=True).tolist()
            removed += [group.units[u] for u in order[: max(len(order) - keep, 0)]]
        return merge(removed)

    def smaller(self, kept: Kept) -> nn.Module:
        """A copy with so many units of each group."""
        return cut(self.model, self.cuts(kept))


@dataclass(frozen=True)
class Prices:
    """What the units of one model are worth."""

    context: PruneContext
    importance: importance.Importance
    original: nn.Module
    """Before anything went."""
    ranked: Ranked

    def sensitivity(self) -> Sensitivity:
        """What each group alone loses, by a scan."""
        ranked, context = self.ranked, self.context

        def scan() -> Sensitivity:
            scored = context.score, context.progress
            with evaluating(ranked.model):
                return allocate.scan(ranked.model, ranked.space, ranked.scores, *scored)

        return context.scanned(scan)

    def comparable(self) -> list[Tensor]:
        """Scores of units that can be compared over groups."""
        ranked, context = self.ranked, self.context
        steps = [group.granularity(ranked.space.round_to) for group in ranked.groups]
        return importance.comparable(
            ranked.scores,
            self.importance,
            steps,
            lambda: importance.measured(ranked.model, context.loss),
        )

    def speed(self) -> MeasuredSpeed:
        """What is known of the device."""
        ranked, speed_of = self.ranked, self.context.speed_of
        assert speed_of is not None, "whoever prunes by latency has a device"
        least = ranked.smaller(ranked.space.least())
        speed = speed_of(Asked(self.original, ranked.model, least, spans(ranked.space)))
        return MeasuredSpeed(speed, ranked.smaller)
