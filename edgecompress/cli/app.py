"""The commands: each parses, calls one function, and hands its result to `output`.

torch, onnx, numpy and pydantic are imported inside the functions, so that `--help` is quick.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress import __version__
from edgecompress.cli.contract import contract_app
from edgecompress.cli.deployed import Deployed, show, worst
from edgecompress.cli.devices import devices_app
from edgecompress.cli.failure import after_result, failure_of
from edgecompress.cli.files import files_app
from edgecompress.cli.optimize import optimize_app, search
from edgecompress.cli.options import DEPLOY_YAML, Config, InventoryFile, Json, Protocol
from edgecompress.cli.output import output
from edgecompress.cli.push import push_app
from edgecompress.cli.runs import runs_app
from edgecompress.errors import RuntimeMissing, SpecError

if TYPE_CHECKING:
    pass

EPILOG = """\b
Exit codes:
  0    done; for deploy: ship
  1    a defect of edgecompress
  2    bad input: a file, an option, the task or the model must change
  3    refused: by the verdict, on the device, or by inspect --require-int8
  4    a device, its runtime, or the way to it; one of several did not take a push
  5    built but unmeasured: no device of that target at hand, an emulated one,
       or one that was too busy to be measured on
  130  interrupted; the same command again resumes
Of several targets the worst decides: 1, 2, 3, 4, 5, then 0.

\b
With --json, stdout holds one JSON document and nothing else; on failure
it is {"error": {"message", "kind", "exit_code"}}, and the exit code is the same.
EDGECOMPRESS_DEBUG=1 shows tracebacks.
"""
# Plain help: rich's panels would cost a third of the time that --help may take.
app = typer.Typer(
    help="Turn a trained PyTorch model into the best one for an edge device, and prove it.",
    epilog=EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
targets_app = typer.Typer(help="List or show the boards that a model can be made for.")
app.add_typer(targets_app, name="targets")
app.add_typer(devices_app, name="devices")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgecompress {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


@app.command()
def deploy(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET...",
            help="Boards, whose runtimes race; or names of targets, or the paths of their files.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every known target.")] = False,
    config: Config = DEPLOY_YAML,
    inventory: InventoryFile = None,
    devices: Annotated[
        list[str] | None,
        typer.Option(
            "--device", help="Push the model there, validate and activate it; one for each target."
        ),
    ] = None,
    protocol: Protocol = None,
    accepts_regression: Annotated[
        bool,
        typer.Option(
            "--accept-regression",
            help="Ship what is worse than what shipped before, too; the report records it.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compress, export, evaluate and measure; give a verdict."""
    with output(as_json) as out:
        from edgecompress import pipeline
        from edgecompress.progress import progress_on_stderr
        from edgecompress.spec.load import load_deploy, target_files

        if every == bool(targets):
            raise SpecError("deploy: name at least one target, or give --all, not both")
        names = targets or list(target_files(config.parent))
        if load_deploy(config).recipe == "auto":
            if len(names) > 1 or devices or protocol or accepts_regression:
                raise SpecError(
                    f"{config}: recipe: auto is searched for one board, and deployed there:"
                    f" edgecompress optimize {names[0]}; then deploy what it writes, with -c"
                )
            from edgecompress.optimize import Asked

            raise typer.Exit(search(out, config, names[0], Asked(inventory=inventory)))
        progress, results = progress_on_stderr(), []
        measured = pipeline.Measured(inventory, devices or (), protocol, accepts_regression)
        for result in pipeline.deploy_all(config, names, progress=progress, measured=measured):
            if not isinstance(result, pipeline.TargetFailed):
                page = config.parent / "runs" / result.run / "report.html"
                results.append(Deployed(result.target, result, page))
            elif len(names) == 1:
                raise result.error
            else:
                progress.note(f"{result.target} failed; the others go on")
                results.append(Deployed(result.target, failure=failure_of(result.error)))
        show(out, results)
    raise typer.Exit(worst(results))


app.registered_commands += optimize_app.registered_commands


app.registered_commands += push_app.registered_commands


@targets_app.command("list")
def targets_list(config: Config = DEPLOY_YAML, as_json: Json = False) -> None:
    """List the targets; your own lie in targets/ beside deploy.yaml."""
    with output(as_json) as out:
        from edgecompress.cli import target_tables
        from edgecompress.spec.load import list_targets

        targets = list_targets(config.parent)
        document = {"targets": [target.model_dump(mode="json") for target in targets]}
        out.result(document, lambda console: target_tables.targets(targets, console))


@targets_app.command("show")
def targets_show(
    name: Annotated[str, typer.Argument(help="A target's name, or the path of its file.")],
    config: Config = DEPLOY_YAML,
    as_json: Json = False,
) -> None:
    """Show what one target wants."""
    with output(as_json) as out:
        from edgecompress.cli import target_tables
        from edgecompress.spec.load import load_target

        target = load_target(name, config.parent)
        out.result(
            target.model_dump(mode="json"), lambda console: target_tables.target(target, console)
        )


app.registered_commands += files_app.registered_commands
app.registered_commands += contract_app.registered_commands


app.registered_commands += runs_app.registered_commands


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Made when it is not there.")] = Path(),
    kind: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="KIND",
            help="What the model does: audio, classification, detection, embedding, multilabel,"
            " regression, segmentation or sequence.",
        ),
    ] = "classification",
    as_json: Json = False,
) -> None:
    """Write a deploy.yaml and a task.py to start from."""
    with output(as_json) as out:
        from edgecompress.cli import tables
        from edgecompress.init import write_start

        started = write_start(folder, kind)
        document = {"written": [str(path) for path in started.written], "next": started.next}
        out.result(document, lambda console: tables.started(started, console))


@app.command()
def doctor(
    target: Annotated[
        str | None, typer.Argument(help="Only this one; exit 4 when it cannot be used here.")
    ] = None,
    imports: Annotated[
        bool, typer.Option("--imports", help="Load what is installed, too; takes seconds.")
    ] = False,
    config: Config = DEPLOY_YAML,
    as_json: Json = False,
) -> None:
    """Say what is missing here, for which target."""
    with output(as_json) as out:
        from edgecompress.cli import tables
        from edgecompress.doctor import examine

        health = examine(config.parent, target, imports=imports)
        out.result(health.model_dump(mode="json"), lambda console: tables.health(health, console))
        # One of several runtimes of a board is enough to use it.
        if target and all(one.problems for one in health.targets):
            text = f"target '{target}' cannot be used here: {health.targets[0].problems[0].text}"
            raise after_result(RuntimeMissing(text))
