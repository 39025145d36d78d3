"""`inspect`, `evaluate`, `measure`, `compare`: each looks at a model file, here."""

from pathlib import Path
from typing import Annotated

import typer

from edgecompress.cli.failure import after_result
from edgecompress.cli.options import DEPLOY_YAML, Config, Json, Protocol
from edgecompress.cli.output import output
from edgecompress.errors import Refused

files_app = typer.Typer()

ModelFile = Annotated[Path, typer.Argument(help="A model file, such as model.onnx.")]


@files_app.command()
def inspect(
    file: ModelFile,
    require_int8: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit 3 when a smaller share of the MACs is int8."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="By whose rules; else with the kernels of this machine.")
    ] = None,
    time: Annotated[
        bool, typer.Option("--time", help="Run it too, and show where the time goes.")
    ] = False,
    config: Config = DEPLOY_YAML,
    as_json: Json = False,
) -> None:
    """List the operators that run, and why one is not int8."""
    with output(as_json) as out:
        from edgecompress import pipeline
        from edgecompress.cli import tables

        inspection = pipeline.inspect_file(file, target, config.parent, time=time)
        fraction = inspection.int8_op_fraction
        document = {
            "file": str(file),
            "macs": inspection.macs,
            "int8_op_fraction": fraction,
            **inspection.model_dump(mode="json"),
        }
        out.result(document, lambda console: tables.inspection(inspection, console))
        if inspection.violations:
            text = (
                f"{file}: {inspection.runtime} will not take it: {inspection.violations[0]}"
                f" ({len(inspection.violations)} in all)"
            )
            raise after_result(Refused(text))
        if require_int8 is not None and fraction < require_int8:
            text = (
                f"{file}: int8 kernels run {fraction:.1%} of the MACs,"
                f" --require-int8 asks for {require_int8:.1%}"
            )
            raise after_result(Refused(text))


@files_app.command()
def evaluate(file: ModelFile, config: Config = DEPLOY_YAML, as_json: Json = False) -> None:
    """Run a model file on the task's whole evaluation set."""
    with output(as_json) as out:
        from edgecompress import pipeline
        from edgecompress.cli import tables
        from edgecompress.progress import progress_on_stderr

        evaluation = pipeline.evaluate_file(file, config, progress_on_stderr())
        document = {"file": str(file), **evaluation.model_dump(mode="json")}
        out.result(document, lambda console: tables.evaluation(evaluation, console))


@files_app.command()
def measure(
    file: ModelFile,
    against: Annotated[
        Path | None, typer.Option(help="Another file, measured in turns with the first.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Instead of what the target says.")
    ] = None,
    target: Annotated[
        str, typer.Option(help="Whose measurement protocol to follow: a target's, or a board's.")
    ] = "local",
    protocol: Protocol = None,
    as_json: Json = False,
) -> None:
    """Measure load time, latency and memory of a file."""
    with output(as_json) as out:
        from edgecompress import pipeline
        from edgecompress.cli import tables
        from edgecompress.progress import progress_on_stderr

        how = pipeline.HowMeasured(target, threads, protocol)
        measured = pipeline.measure_file(file, against, how, progress_on_stderr())
        document = {"file": str(file), **measured.model_dump(mode="json")}
        out.result(document, lambda console: tables.measured(measured, console))


@files_app.command()
def compare(
    a: ModelFile,
    b: Annotated[Path, typer.Argument(help="Another of the same training, of any format.")],
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer.")] = False,
    steps: Annotated[float, typer.Option(min=0, help="How far apart a layer may be.")] = 2.0,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Whose task gives inputs; else random.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the first layer at which two int8 files part."""
    with output(as_json) as out:
        from edgecompress import pipeline
        from edgecompress.cli import tables

        found = pipeline.compare_layers(a, b, config, steps)
        document = found.model_dump(mode="json")
        out.result(document, lambda console: tables.layers(found, layers, console))
