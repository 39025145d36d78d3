"""From points to recipes: each can be resolved, written down and read again."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from searching import AUTO, OWN

from edgecompress.optimize.openers import openers
from edgecompress.optimize.plan import FULL, Plan, Value
from edgecompress.optimize.recipe_file import write_recipe
from edgecompress.optimize.space import CHOICES, Offer, Space, at_epochs, training_of
from edgecompress.optimize.words import methods_of, words_of
from edgecompress.spec.deploy import TrainSpec
from edgecompress.spec.load import load_deploy, load_target
from edgecompress.spec.recipe import resolve

FLOATS = Offer(floats=("tiny",))


def drawn(space: Space, seed: int, offer: Offer = FLOATS) -> Plan:
    source = random.Random(seed)
    return space.draw(lambda _, values: source.choice(values), offer)


def test_every_point_is_a_recipe_that_is_read_back_as_it_was_written(
    space: Space, tmp_path: Path
) -> None:
    space = replace(space, blocks=3)
    seen: dict[str, set[object]] = {}
    for seed in range(200):
        plan = drawn(space, seed)
        for name, value in plan.params.items():
            seen.setdefault(name, set()).add(value)
        for config in (space.nominal(plan), space.config(plan), at_epochs(space.nominal(plan), 3)):
            resolve(space.targets[0], config)
        assert words_of(space.config(plan))
        if seed < 20:
            path = write_recipe(tmp_path, space.nominal(plan), "tiny", "a test")
            assert path == tmp_path / "best.yaml"
            assert load_deploy(path) == space.nominal(plan)
    assert seen == {name: set(values) for name, values in CHOICES.items()}


def test_int8_is_trained_only_where_it_loses_something(space: Space) -> None:
    lossless = Offer(trains_int8=False)
    plans = [*openers(space, "tiny", lossless)]
    plans += [drawn(space, seed, lossless) for seed in range(60)]
    configs = [space.nominal(plan) for plan in plans]
    assert [one for one in configs if one.quantize is not None and one.quantize.mode == "qat"] == []
    # What is pruned trains, and in float; the rest may be calibrated in any way.
    assert all((one.prune is None) == (one.finetune is None) for one in configs)
    assert {one.prune is None for one in configs} == {True, False}


def test_what_stays_in_float_is_pruned_and_trained_and_nothing_else(space: Space) -> None:
    plans = [*openers(space, "tiny", FLOATS), *(drawn(space, seed) for seed in range(60))]
    floats = [plan for plan in plans if plan.params.get("precision") == "float"]
    assert len(floats) > 10
    for plan in floats:
        config = space.nominal(plan)
        assert config.quantize is None
        assert config.prune is not None
        assert config.finetune is not None
        assert words_of(config).endswith("; float")
        assert space.shape(plan) != space.shape(space.originals()[0])
    # Where floats are slow nobody is asked.
    slow = [*openers(space, "tiny"), *(drawn(space, seed, Offer()) for seed in range(60))]
    assert all("precision" not in plan.params for plan in slow)


def test_the_originals_are_measured_where_something_in_float_may_ship(space: Space) -> None:
    (original,) = space.originals()
    assert words_of(space.nominal(original)) == "the original in float"
    assert space.full_epochs(original) == 0
    assert resolve(space.targets[0], space.nominal(original)).config.quantize is None
    budgets = space.base.budgets.model_copy(update={"min_int8_op_fraction": 0.5})
    int8 = replace(space, base=space.base.model_copy(update={"budgets": budgets}), _nominal={})
    assert int8.originals() == ()
    # What was tried in float is no part of a search in which it may not ship.
    assert int8.digest != space.digest
    assert replace(space, trains=False).originals() == ()


def test_somebody_elses_best_yaml_is_left_alone(space: Space, tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text("mine")
    config = space.nominal(space.plain()[0])
    assert write_recipe(tmp_path, config, "tiny", "a test").name == "best-2.yaml"
    assert (tmp_path / "best.yaml").read_text() == "mine"
    # Nor is another board's; its own is written anew.
    assert write_recipe(tmp_path, config, "tiny-2", "a test").name == "best-3.yaml"
    assert write_recipe(tmp_path, config, "tiny", "another").name == "best-2.yaml"
    assert "another" in (tmp_path / "best-2.yaml").read_text()
    # What was found and then edited is the user's.
    edited = (tmp_path / "best-2.yaml").read_text().replace("ranges: minmax", "ranges: mse")
    (tmp_path / "best-2.yaml").write_text(edited)
    assert write_recipe(tmp_path, config, "tiny", "a third").name == "best-4.yaml"
    assert (tmp_path / "best-2.yaml").read_text() == edited


def test_layers_are_measured_one_by_one_for_one_target_only(space: Space) -> None:
    source = random.Random(1)

    def pick(_: str, values: Sequence[Value]) -> Value:
        return source.choice(values)

    name = space.targets[0].name
    for tabled, expected in ((name, True), ("another", False)):
        plans = [space.draw(pick, Offer((tabled,))) for _ in range(100)]
        found = {plan.params.get("allocation") for plan in plans}
        assert ("latency" in found) == expected
        assert {"uniform", "global", "sensitivity"} <= found


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_openers_train_as_the_user_trains(space: Space, optimizer: str) -> None:
    training = TrainSpec(optimizer=optimizer, learning_rate=0.007, weight_decay=0.03, epochs=9)
    own = replace(space, base=space.base.model_copy(update={"train": training}), _nominal={})
    found = training_of(own.nominal(list(openers(own, "tiny"))[1]))
    assert {part.optimizer for part in found.values()} == {optimizer}
    assert found["finetune"].learning_rate == pytest.approx(0.007)
    assert found["quantize"].learning_rate < 0.007
    assert {part.weight_decay for part in found.values()} == {0.03}


def test_a_rung_trains_its_epochs_and_shares_them_out(space: Space) -> None:
    opener = list(openers(space, "tiny"))[1]
    whole = space.nominal(opener)
    assert {name: part.epochs for name, part in training_of(whole).items()} == {
        "finetune": 20,
        "quantize": 10,
    }
    short = at_epochs(whole, 6)
    assert {name: part.epochs for name, part in training_of(short).items()} == {
        "finetune": 4,
        "quantize": 2,
    }
    assert at_epochs(whole, 30) is whole
    untrained = at_epochs(whole, 0)
    assert not training_of(untrained)
    assert untrained.quantize is not None
    assert untrained.quantize.mode == "ptq"
    assert "QAT" in methods_of(whole)
    assert "QAT" not in methods_of(untrained)


def test_what_changes_numbers_alone_has_the_same_shape(space: Space) -> None:
    plain, (qat, twice, less, *_, rounded) = space.plain()[0], openers(space, "tiny")
    assert space.shape(plain) == space.shape(qat) == space.shape(rounded)
    assert len({space.shape(one) for one in (plain, twice, less)}) == 3
    other = twice.model_copy(update={"params": {**twice.params, "importance": "magnitude"}})
    assert space.shape(other) == space.shape(twice)
    by_loss = {**other.params, "allocation": "sensitivity"}
    assert space.shape(twice.model_copy(update={"params": by_loss})) != space.shape(twice)


@pytest.mark.parametrize(("blocks", "wanted"), [(0, []), (2, []), (3, [1]), (7, [2]), (40, [3])])
def test_one_opener_is_of_depth_where_there_is_enough(
    space: Space, blocks: int, wanted: list[int]
) -> None:
    deep = replace(space, blocks=blocks)
    found = [plan.params.get("blocks", 0) for plan in openers(deep, "tiny", FLOATS)]
    assert [count for count in found if count] == wanted
    assert len(found) == len(list(openers(space, "tiny", FLOATS))) + len(wanted)


def test_the_users_own_recipe_is_a_plan_and_sets_the_epochs(project: Path, space: Space) -> None:
    assert not space.has_own
    (project / "deploy.yaml").write_text(OWN)
    own = Space(load_deploy(project / "deploy.yaml"), space.targets)
    assert own.has_own
    plan = Plan(kind="own", target="tiny")
    assert own.nominal(plan) == own.base
    assert own.full_epochs(plan) == 1
    assert own.full_epochs(next(iter(openers(own, "tiny")))) == 1
    assert own.digest != space.digest


def test_what_stays_in_float_for_the_metric_or_is_cut_after_training_has_a_shape_of_its_own(
    project: Path, space: Space
) -> None:
    plain = space.plain()[0]
    text = OWN.replace("mode: qat,", "mode: qat, max_metric_drop: 0.01,")
    (project / "deploy.yaml").write_text(text)
    keeping = Space(load_deploy(project / "deploy.yaml"), space.targets)
    own = Plan(kind="own", target="tiny")
    assert keeping.shape(own) == keeping.shape(plain), "untrained it is all in int8"
    assert keeping.shape(own.on(FULL, 1)) != keeping.shape(plain)
    pruning = (
        "prune: {method: structured, importance: magnitude, allocation: global, macs_reduction: 2,"
        " steps: 1, sparsify: {epochs: 1, optimizer: sgd, learning_rate: 0.01,"
        " group_sparsity: 0.1}}\nfinetune: {epochs: 1, optimizer: sgd, learning_rate: 0.01}\n"
    )
    (project / "deploy.yaml").write_text(AUTO.replace("recipe: auto\n", pruning))
    sparse = Space(load_deploy(project / "deploy.yaml"), space.targets)
    assert sparse.shape(own) != sparse.shape(own.on(FULL, 1))


def test_one_epoch_is_enough_for_every_point(project: Path, space: Space) -> None:
    (project / "deploy.yaml").write_text(OWN)
    short = Space(load_deploy(project / "deploy.yaml"), space.targets)
    for plan in (*openers(short, "tiny"), *(drawn(short, seed) for seed in range(60))):
        resolve(short.targets[0], short.nominal(plan))


def test_what_the_user_asks_of_a_file_holds_for_every_point(project: Path, space: Space) -> None:
    text = OWN.replace("mode: qat,", "mode: qat, scheme: portable, keep_float: [fc],")
    text = text.replace("optimizer: sgd,", "optimizer: sgd, gradient_clip: 1.0,")
    (project / "deploy.yaml").write_text(text)
    own = Space(load_deploy(project / "deploy.yaml"), space.targets)
    for plan in (*own.plain(), *openers(own, "tiny"), *(drawn(own, seed) for seed in range(30))):
        config = own.nominal(plan)
        if plan.params.get("precision") != "float":
            assert config.quantize is not None
            assert config.quantize.scheme == "portable"
            assert config.quantize.keep_float == ("fc",)
        assert all(part.gradient_clip == 1.0 for part in training_of(config).values())


def test_layers_are_not_measured_where_each_takes_minutes_to_build(space: Space) -> None:
    engines = Space(space.base, (load_target("jetson-orin-nano"), *space.targets))
    for plan in (*openers(engines, "tiny"), *(drawn(engines, seed) for seed in range(60))):
        assert plan.params.get("allocation") != "latency"


def test_without_data_to_train_with_nothing_trains(space: Space) -> None:
    still = Space(space.base, space.targets, trains=False)
    plans = [*openers(still, "tiny"), *(drawn(still, seed) for seed in range(30))]
    assert not any(training_of(still.nominal(plan)) for plan in plans)
    assert {one.params["rounding"] for one in plans} == {"nearest", "adaptive"}


@pytest.mark.parametrize("budget", [0.1, 0.2])
def test_budgets_are_not_of_the_space(project: Path, space: Space, budget: float) -> None:
    budgets = space.base.budgets.model_copy(update={"max_metric_drop": budget})
    base = space.base.model_copy(update={"budgets": budgets})
    assert Space(base, space.targets).digest == space.digest
