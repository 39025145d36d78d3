"""What may be made of a recipe, so that a race has something to choose from."""

import pytest

from edgecompress.pipeline.entrants import entrants_of
from edgecompress.spec.base import parse
from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.load import load_target
from edgecompress.spec.recipe import resolve
from edgecompress.spec.target import RaceSpec

TRAIN = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1}
PTQ = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 1, "max_metric_drop": 0.01}
QAT = {**PTQ, "mode": "qat", "train": TRAIN}
PRUNE = {
    **{"method": "structured", "importance": "magnitude", "allocation": "uniform"},
    **{"pruning_ratio": 0.5, "steps": 1},
}


def config(**recipe: object) -> DeployConfig:
    task, budgets = {"path": "task.py:Task"}, {"max_metric_drop": 0.01}
    document = {"task": task, "seed": 0, "budgets": budgets, **recipe}
    return parse(DeployConfig, document, "here")


@pytest.mark.parametrize(
    ("recipe", "variants"),
    [
        ({"quantize": PTQ}, ["original", "recipe"]),
        ({"quantize": QAT}, ["original", "recipe", "ptq"]),
        ({"finetune": TRAIN}, ["original", "float"]),
        (
            {"prune": PRUNE, "finetune": TRAIN, "quantize": QAT},
            ["original", "float", "recipe", "ptq", "direct"],
        ),
    ],
)
def test_each_recipe_has_its_entrants(recipe: dict[str, object], variants: list[str]) -> None:
    found = entrants_of(resolve(load_target("local-onnxruntime"), config(**recipe)))
    assert [one.variant for one in found] == variants
    by_variant = {one.variant: one for one in found}
    original = by_variant["original"].recipe
    assert (original.config.prune, original.config.quantize, original.distill) == (None, None, None)
    assert [one.variant for one in found if one.is_original] == ["original"]
    if "recipe" in by_variant:
        assert by_variant["recipe"].recipe.config == config(**recipe)


def test_every_entrant_has_a_recipe_that_could_be_written_down() -> None:
    recipe = config(prune=PRUNE, finetune=TRAIN, quantize={**QAT, "train_scales": True})
    for one in entrants_of(resolve(load_target("local-onnxruntime"), recipe)):
        if any((one.recipe.config.prune, one.recipe.config.quantize)):
            document = one.recipe.config.model_dump(mode="json")
            assert parse(DeployConfig, document, one.name) == one.recipe.config


def test_what_runs_first_is_not_trained_for_it_and_nothing_is_searched() -> None:
    recipe = resolve(
        load_target("local-onnxruntime"), config(prune=PRUNE, finetune=TRAIN, quantize=QAT)
    )
    found = {one.variant: one for one in entrants_of(recipe)}
    for variant in ("recipe", "ptq", "direct"):
        quantize = found[variant].shape.config.quantize
        assert quantize is not None
        assert (quantize.mode, quantize.train, quantize.max_metric_drop) == ("ptq", None, None)
    # These are one file, and run once.
    assert found["recipe"].shape == found["ptq"].shape
    assert found["direct"].shape != found["ptq"].shape
    assert found["float"].shape == found["float"].recipe


@pytest.mark.parametrize("target", ["local-onnxruntime", "jetson-orin-nano"])
def test_where_int8_is_asked_for_no_file_of_floats_runs_but_the_original(target: str) -> None:
    asked = {"max_metric_drop": 0.01, "min_int8_op_fraction": 0.5}
    pruned = {"prune": PRUNE, "finetune": TRAIN}
    found = entrants_of(resolve(load_target(target), config(**pruned, quantize=PTQ, budgets=asked)))
    assert [one.variant for one in found] == ["original", "recipe", "direct"]
    # A recipe that does not quantise cannot keep that budget: the verdict says so of its file.
    floats = entrants_of(resolve(load_target("local-onnxruntime"), config(**pruned, budgets=asked)))
    assert [one.variant for one in floats] == ["original", "float"]


def test_a_runtime_that_computes_in_float16_has_the_original_in_it_too() -> None:
    found = entrants_of(resolve(load_target("jetson-orin-nano"), config(quantize=PTQ)))
    names = [one.name for one in found if one.variant in ("original", "half")]
    assert names == ["the original in float32 (tensorrt)", "the original in float16 (tensorrt)"]
    assert [one.is_original for one in found] == [True, False, False]


def test_threads_that_are_left_open_are_tried() -> None:
    target = load_target("local-litert").model_copy(update={"race": RaceSpec(threads=(2, 4))})
    found = entrants_of(resolve(target, config(quantize=PTQ)))
    threads = [one.recipe.target.runtime.threads for one in found if one.variant == "recipe"]
    assert threads == [1, 2, 4]
    assert len({one.name for one in found}) == len(found)
