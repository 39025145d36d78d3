"""ExecuTorch's .pte: what XNNPACK takes of the converted graph goes to XNNPACK, in int8."""

import json
from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.formats.exportable import Exportable, without_levels
from edgecompress.runtimes.executorch.convert import Source, to_pte
from edgecompress.runtimes.executorch.file import describe
from edgecompress.runtimes.executorch.notes import INPUTS_KEY, OUTPUTS_KEY
from edgecompress.store import atomic_write


def export(model: Exportable, path: Path) -> Artifact:
    """Lower to XNNPACK, with names, lineage and the rest as notes in the file.

    The batch is always 1: the file plans its memory for fixed shapes, so `free_batch` is ignored.

    Raises:
        ModelError: an operator has no kernel, or control flow.
        RuntimeMissing: executorch is not installed.

    """
    model = without_levels(model, "files for ExecuTorch take floats")
    content = to_pte(Source(model.module, model.example_inputs, _notes(model)))
    atomic_write(path, content)
    return describe(path)


def _notes(model: Exportable) -> dict[str, str]:
    names = {INPUTS_KEY: model.input_names, OUTPUTS_KEY: model.output_names}
    notes = {**names, **model.notes}
    return {key: json.dumps(value, sort_keys=True) for key, value in notes.items()}
