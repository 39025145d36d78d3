"""`run` and `check-contract`: a file used by what it says of itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.cli.failure import after_result
from edgecompress.cli.files import ModelFile
from edgecompress.cli.options import Json
from edgecompress.cli.output import output
from edgecompress.errors import Refused

if TYPE_CHECKING:
    from rich.console import Console

    from edgecompress.pipeline.contract import Ran

contract_app = typer.Typer()

_BEST = 5
"""So many classes are shown."""


@contract_app.command()
def run(
    file: ModelFile,
    given: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A picture, such as picture.jpg, a sound, such as sound.wav, or a text of the"
            " file's own.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Run a picture, a sound or a text as the file says."""
    with output(as_json) as out:
        from edgecompress.pipeline import contract
        from edgecompress.progress import progress_on_stderr

        ran = contract.run_on(file, given, progress_on_stderr())
        document = {
            "file": str(file),
            ran.noun: str(given),
            "outputs": {name: array.tolist() for name, array in ran.outputs.items()},
        }
        out.result(document, lambda console: _show_outputs(ran, console))


@contract_app.command("check-contract")
def check_contract(
    file: ModelFile,
    app: Annotated[
        str | None,
        typer.Option(
            help="Your application's command; it is given a picture, a sound or a text, and the"
            " .npy file in which to write what it would give to the model.",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(help="A folder for what is drawn, the tensors and the outputs, for a test."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find where an application prepares its inputs wrongly."""
    with output(as_json) as out:
        from edgecompress.cli.printing import line
        from edgecompress.pipeline import contract
        from edgecompress.progress import progress_on_stderr

        found = contract.check_app(file, app, vectors, progress_on_stderr())
        document: dict[str, object] = {
            "file": str(file),
            "vectors": None if vectors is None else str(vectors),
        }
        if found is None:
            out.result(document, lambda console: line(console, f"vectors: {vectors}"))
            return
        document |= {
            "is_right": found.is_right,
            "mistakes": list(found.mistakes),
            "levels": found.levels,
            "share": found.share,
            "told": found.told,
        }
        right = "the application prepares its inputs as the file says"
        if found.told != "as declared":
            right = f"{right}: {found.told}"
        text = right if found.is_right else f"the application departs: {found.told}"
        out.result(document, lambda console: line(console, text))
        if not found.is_right:
            raise after_result(Refused(f"{file}: {text}"))


def _show_outputs(ran: "Ran", console: "Console") -> None:
    from edgecompress.cli.printing import line, table

    for name, array in ran.outputs.items():
        if array.ndim == 2 and len(array) == 1 and ran.labels and len(ran.labels) == array.shape[1]:
            order = array[0].argsort()[::-1][:_BEST]
            rows = [(ran.labels[index], f"{float(array[0][index]):.4f}") for index in order]
            table(console, (name, "score"), rows)
        else:
            low, high = float(array.min()), float(array.max())
            line(console, f"{name}: {list(array.shape)}, between {low:.4g} and {high:.4g}")
