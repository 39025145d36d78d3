"""What an exporter is given, whatever the format of its file."""

from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from edgecompress.contract.levels import kept_out, takes_levels
from edgecompress.formats.metadata import (
    DECODED_KEY,
    KEEP_FLOAT_KEY,
    KEPT_BECAUSE_KEY,
    LABELS_KEY,
    LINEAGE_KEY,
    PREPROCESSING_KEY,
)
from edgecompress.spec.preprocessing import Preprocessing
from edgecompress.spec.scheme import QuantizationScheme
from edgecompress.spec.target import Target


@dataclass(frozen=True)
class Exportable:
    """A model to be exported: a float module, or a converted Q/DQ graph.

    Args:
        module: what to export, in eval mode.
        example_inputs: of batch size 1, as on the device.
        free_batch: whether the file may leave the batch dimension open.
        input_names, output_names: in the order of the model's arguments and results.
        layers: weight tensor in `module`'s state -> path of the user's layer that it belongs to.
        keep_float: modules and operators that the recipe keeps in float.
        float32_only: modules whose numbers float16 does not hold.
        kept_because: of those among them that a search chose, what each costs in int8.
        lineage: what made it; stored in the file.
        target: whom the file is for.
        scheme: how a converted graph is quantised, its bits resolved; None for a float module.
        labels: class names; stored in the file.
        preprocessing: how an application prepares the inputs; stored in the file.
        decoded: whether the task's decoder is a part of `module`; stored in the file.
        dense: where the recipe makes weights 2:4, the modules whose weights it leaves as they are;
            None where it makes none.

    """

    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    free_batch: bool
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    lineage: dict[str, str]
    target: Target
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    decoded: bool = False
    layers: dict[str, str] = field(default_factory=dict)
    keep_float: tuple[str, ...] = ()
    float32_only: tuple[str, ...] = ()
    kept_because: dict[str, str] = field(default_factory=dict)
    dense: tuple[str, ...] | None = None
    scheme: QuantizationScheme | None = None

    @property
    def notes(self) -> dict[str, object]:
        """What a file of any format keeps of it, by key; each is written as JSON."""
        found: dict[str, object] = {LINEAGE_KEY: self.lineage}
        if self.labels is not None:
            found[LABELS_KEY] = self.labels
        if self.preprocessing is not None:
            found[PREPROCESSING_KEY] = self.preprocessing.model_dump(mode="json")
        if self.decoded:
            found[DECODED_KEY] = True
        if self.keep_float:
            found[KEEP_FLOAT_KEY] = self.keep_float
        if self.kept_because:
            found[KEPT_BECAUSE_KEY] = self.kept_because
        return found


def without_levels(model: Exportable, because: str) -> Exportable:
    """The model for a file that takes floats, whatever the task wants, and says why."""
    declared = model.preprocessing
    return (
        replace(model, preprocessing=kept_out(declared, because))
        if takes_levels(declared)
        else model
    )
