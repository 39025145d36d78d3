"""`compress`: from a model and loaders to a report, without deploy.yaml."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from typing_extensions import TypedDict, Unpack

from edgecompress.api.holders import DataModule, Detector, Fitted
from edgecompress.api.naming import as_arguments, check_options, path_of, told_by
from edgecompress.api.results import Report, shown_as
from edgecompress.errors import SpecError, TaskError
from edgecompress.pipeline.orders import DeployOrder, Measured, TargetFailed, order_of
from edgecompress.progress import Progress
from edgecompress.spec import report
from edgecompress.spec.base import parse
from edgecompress.spec.deploy import DeployConfig, TaskRef
from edgecompress.spec.load import load_targets
from edgecompress.spec.words import words_of
from edgecompress.spec.yaml import load_yaml

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgecompress.adapters import Parts
    from edgecompress.spec.preprocessing import AnyPreprocessing
    from edgecompress.task.given import Given
    from edgecompress.task.metric import Metric

Data = Iterable[Any] | Callable[[], Iterable[Any]]
"""Batches (inputs, target) that can be gone through again: a DataLoader, a list, or a function that
gives them anew.
"""
Recipe = Mapping[str, Any] | str | Path
"""Keys of deploy.yaml; 'auto'; or a file that has them, such as a search writes."""

PLAIN_INT8 = {"mode": "ptq", "ranges": "auto", "calibration_batches": 8}
"""What is done where a recipe says nothing."""
ONE_POINT = {"max_metric_drop": 0.01}
"""What accuracy may lose where nothing is said."""
_DEEDS = ("prune", "finetune", "quantize")
_NOT_A_RECIPE = {
    "task": "what it is about is given as model, train and evaluate",
    "seed": "it is an argument of its own: seed=",
}


class CompressOptions(TypedDict, total=False):
    """What `compress` may be given besides."""

    metric: "Metric | Callable[[], Metric]"
    """One of torchmetrics, or any with update(), compute() and higher_is_better; or what makes one.
    Accuracy where nothing is given, targets are integers [N] and outputs [N, classes].
    """
    loss: "Callable[[Any, Any], Tensor]"
    """Outputs and target to a scalar; for recipes that train. Cross entropy, where accuracy is the
    metric by itself.
    """
    validate: Data
    """Picks the best epoch; the evaluation data where there is none."""
    example_inputs: "Tensor | tuple[Tensor, ...]"
    """Inputs of one inference, batch dimension first and 1; the first sample of `evaluate` where
    there are none.
    """
    labels: Sequence[str]
    """Names of the classes."""
    preprocessing: "AnyPreprocessing"
    """How an application prepares the input; it is written into the file (docs/contract.md)."""
    decoder: "nn.Module"
    """Makes of the model's outputs what an application wants, and becomes the end of the file, in
    float. The metric gets what it gives, the loss does not.
    """
    recipe: Recipe
    """What to do, with the keys of deploy.yaml, or a file that has them, whose task is left out;
    or 'auto': found by a search. Int8 by calibration alone, where nothing is said.
    """
    time: str
    """With recipe 'auto': how long to search, as '30m'."""
    seed: int
    name: str
    """What reports call the task. A run is held against what shipped before by the same name on the
    same device, so give it where that is wanted; by itself it is another one for other weights
    and other data.
    """
    folder: str | Path
    """Where `runs/` goes, and where `targets/` and `devices.yaml` may lie; '.' by itself."""
    device: str
    """Id of a device that the model is pushed to and activated on."""
    inventory: str | Path
    """Another file of devices."""
    protocol: str
    """How to measure, other than as the target says."""
    progress: bool | Progress
    """True: lines on stderr, in a notebook too. False: silent."""


@overload
def compress(
    model: "nn.Module",
    train: Data | None = None,
    *,
    evaluate: Data,
    target: str = "local",
    **options: Unpack[CompressOptions],
) -> Report: ...


@overload
def compress(
    model: "nn.Module",
    train: DataModule,
    *,
    target: str = "local",
    **options: Unpack[CompressOptions],
) -> Report: ...


@overload
def compress(
    model: Detector,
    train: str | Path | None = None,
    *,
    target: str = "local",
    **options: Unpack[CompressOptions],
) -> Report: ...


@overload
def compress(
    model: Fitted, *, target: str = "local", **options: Unpack[CompressOptions]
) -> Report: ...


def compress(
    model: "nn.Module | Detector | Fitted",
    train: Data | DataModule | str | Path | None = None,
    *,
    evaluate: Data | None = None,
    target: str = "local",
    **options: Unpack[CompressOptions],
) -> Report:
    """Make the best file of a trained model for a target, and judge it.

    docs/python.md says what is kept from one call to the next, and what else may be given in the
    place of a model and its data: a LightningModule and its LightningDataModule, a Trainer, or a
    YOLO.

    Args:
        model: trained, in float32 on the CPU; it is copied, and never changed.
        train: batches that int8 is calibrated on, and that a recipe with training trains on.
        evaluate: all of the evaluation data, in a fixed order.
        target: a target, or a board; `edgecompress targets list` shows them.
        options: see CompressOptions.

    Returns:
        The report: `.verdict`, `.file`, `.page`. A verdict of 'refuse' is no error.

    Raises:
        EdgecompressError: in one line, as the command line ends with; see edgecompress.errors.

    """
    check_options("compress", options, CompressOptions)
    progress = told_by(options.get("progress", True))
    folder = Path(options.get("folder", "."))
    wanted = wanted_of(options)
    load_targets(target, folder)  # An unknown one is told before any data is read.
    with as_arguments():
        # Imports torch.
        from edgecompress.adapters import Asked, parts_of
        from edgecompress.task.seed import generators_kept

        has_own = "loss" in options, "metric" in options
        parts = parts_of(Asked(model, train, evaluate, *has_own))
        given = _given(parts, options)
        check_budgets(options, given.scoring.metric)
        wanted = keeping(wanted, parts.keep_float)
        _check_needs(wanted, given)
        name = options.get("name", given.name)
        wanted = wanted.model_copy(update={"task": task_ref(name)})
        device = options.get("device")
        measured = Measured(
            path_of(options.get("inventory")),
            () if device is None else (device,),
            options.get("protocol"),
        )
        order = order_of(wanted, folder / "deploy.yaml", [target], measured)
        order = replace(order, given=given)
        # The caller goes on drawing where he was.
        with generators_kept(given):
            made = _made(order, options.get("time"), progress)
        return shown_as(Report, made).made_by(order)


def wanted_of(options: CompressOptions) -> DeployConfig:
    """The recipe with what it leaves out, as deploy.yaml would say it, of a task without a name.

    Raises:
        SpecError: a key or a value that there is none of, or none where one is needed.

    """
    recipe, where = _recipe_of(options.get("recipe", {}))
    for key, why in _NOT_A_RECIPE.items():
        if key in recipe:
            raise SpecError(f"recipe: '{key}' is none of it; {why}")
    document = {"task": {"path": task_ref("unnamed").path}, "seed": options.get("seed", 0)}
    document |= dict(recipe)
    if recipe.get("recipe") is None and not any(recipe.get(key) is not None for key in _DEEDS):
        document["quantize"] = PLAIN_INT8
    if "budgets" not in recipe:
        check_budgets(options, options.get("metric"))
        document["budgets"] = ONE_POINT
    wanted = parse(DeployConfig, document, where)
    if options.get("time") is not None and wanted.recipe != "auto":
        raise SpecError("time: is for a search; add recipe='auto', or leave it out")
    return wanted


def check_budgets(options: CompressOptions, metric: object) -> None:
    """Raises SpecError where nobody knows what a point of the metric is; None is accuracy."""
    recipe, _ = _recipe_of(options.get("recipe", {}))
    if "budgets" not in recipe and metric is not None and not getattr(metric, "is_share", False):
        raise SpecError(
            "recipe: how much the metric may lose is not said; in its own unit:"
            " recipe={'budgets': {'max_metric_drop': ...}}"
        )


def _recipe_of(given: object) -> tuple[Mapping[str, Any], str]:
    """Its keys, and what errors call it. Raises SpecError."""
    if isinstance(given, Path) or (isinstance(given, str) and given.endswith((".yaml", ".yml"))):
        found = load_yaml(Path(given), words_of(DeployConfig))
        return {key: value for key, value in found.items() if key not in _NOT_A_RECIPE}, str(given)
    if isinstance(given, str):
        return {"recipe": given}, "recipe"
    if not isinstance(given, Mapping):
        raise SpecError(
            "recipe: must be 'auto', a dictionary with the keys of deploy.yaml, or a file that has"
            f" them, not {type(given).__name__}"
        )
    return given, "recipe"


def task_ref(name: str) -> TaskRef:
    """What stands for the task in reports."""
    return parse(TaskRef, {"path": f"given:{name}"}, "name")


def _given(parts: "Parts", options: CompressOptions) -> "Given":
    """Parts and options together. Raises TaskError for those that cannot be used."""
    from edgecompress.task.given import Contract, Given, Scoring

    if parts.evaluate is None:
        raise TaskError("evaluate: no data is given; give evaluate=")
    labels, example = options.get("labels"), options.get("example_inputs")
    scoring = Scoring(
        options.get("metric", parts.scoring.metric),
        options.get("loss", parts.scoring.loss),
        parts.scoring.labels if labels is None else tuple(labels),
        parts.scoring.kind,
    )
    # What was found is of inputs that were found.
    found = parts.preprocessing if example is None else None
    return Given(
        parts.model,
        parts.evaluate,
        parts.train,
        options.get("validate"),
        scoring,
        example if example is None or isinstance(example, tuple) else (example,),
        parts.title,
        Contract(options.get("preprocessing", found), options.get("decoder")),
    )


def keeping(wanted: DeployConfig, modules: tuple[str, ...]) -> DeployConfig:
    """The recipe with modules that stay in float, unless it names some itself."""
    if wanted.quantize is None or wanted.quantize.keep_float or not modules:
        return wanted
    quantize = wanted.quantize.model_copy(update={"keep_float": modules})
    return wanted.model_copy(update={"quantize": quantize})


def _check_needs(wanted: DeployConfig, given: "Given") -> None:
    """Raises SpecError where the recipe needs what is not given, before any data is read."""
    from edgecompress.pipeline.loading import reads_of

    reads = reads_of(wanted)
    needs_it = {"train_data", "calibration_data"} & {*reads.needed} or wanted.recipe == "auto"
    if given.train is None and needs_it:
        what = "trains on it" if reads.trains else "sets the ranges of int8 by it"
        raise SpecError(f"train: no data is given, and the recipe {what}; give train=")


def _made(order: DeployOrder, time: str | None, progress: Progress) -> report.Report:
    if order.wanted.recipe == "auto":
        from edgecompress.optimize import Asked, search_for

        found = search_for(order, Asked(time=time), progress)
        if found.shipped is None:
            raise KeyboardInterrupt
        return found.shipped
    # Imports torch.
    from edgecompress.pipeline import whole

    (result,) = whole.deploy(order, progress)
    if isinstance(result, TargetFailed):
        raise result.error
    return result
