"""The scale of an input whose values are known beforehand: levels of pixels, normalised."""

from dataclasses import dataclass

from torch import Tensor

from edgecompress.compress.fake_quantize import AdjustedFakeQuantize
from edgecompress.compress.quantize import Prepared
from edgecompress.contract.levels import has_border
from edgecompress.spec.preprocessing import ImagePreprocessing

_FINE, _TRIED = 256, 16


@dataclass(frozen=True)
class OffBorders:
    """Chooses a scale at which no level lies on the border between two integers, so that all
    runtimes round it alike. It is the one that was found, or up to 6 % larger.
    """

    declared: ImagePreprocessing

    def __call__(self, scale: Tensor) -> Tensor:
        """The next larger scale, [1], of that kind; the same where there is none."""
        for more in range(_TRIED):
            tried = scale * (1 + more / _FINE)
            if not has_border(self.declared, float(tried)):
                return tried
        return scale


def settle_input(prepared: Prepared, declared: ImagePreprocessing) -> None:
    """After prepare: let the only input have such a scale. Powers of two stay what they are."""
    if prepared.scheme.scales != "free":
        return
    modules = dict(prepared.graph.named_modules(remove_duplicate=False))
    for node in prepared.graph.graph.find_nodes(op="placeholder"):
        for user in node.users:
            found = modules.get(str(user.target))
            if isinstance(found, AdjustedFakeQuantize) and found.adjust is None:
                found.adjust = OffBorders(declared)
