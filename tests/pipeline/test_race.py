"""A board with several runtimes: they race, and what is told of the race holds together."""

import json
from pathlib import Path
from typing import Any

import deploying
import pytest
import yaml

TINY = (deploying.TINY / "targets" / "tiny.yaml").read_text()
RACE = ("deploy", "bench", "--inventory", "inventory.yaml", "--json")


def board(folder: Path) -> Path:
    """The tiny project, and a board `bench` with ONNX Runtime, OpenVINO, and one that is absent."""
    project = deploying.fresh(folder / "project")
    (project / "deploy.yaml").write_text(deploying.SHORT)
    inventory = {"devices": [{"id": "here", "target": "bench", "transport": "local"}]}
    (project / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    for name, version in (("onnxruntime", ">=1.17"), ("openvino", ">=2024"), ("litert", ">=99")):
        target = yaml.safe_load(TINY)
        target |= {"name": f"bench-{name}", "board": "bench"}
        target["measurement"]["turns"] = 2
        target["runtime"] = {"name": name, "version": version, "threads": 1}
        if name == "litert":
            target["runtime"]["delegate"] = "xnnpack"
            target["quantization"]["activations"]["dtype"] = "int8"
        (project / "targets" / f"bench-{name}.yaml").write_text(yaml.safe_dump(target))
    return project


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory, cli: deploying.Cli) -> tuple[Path, Any, int]:
    project = board(tmp_path_factory.mktemp("race"))
    done = cli.run(project, *RACE)
    # Whether anything of so small a net is faster, or can be told on a busy machine, is open.
    assert done.returncode in (0, 3, 5), done.stderr
    return project, json.loads(done.stdout), done.returncode


def test_every_runtime_of_the_board_runs_and_the_absent_one_is_named(
    raced: tuple[Path, Any, int],
) -> None:
    race = raced[1]["race"]
    assert race["board"] == "bench"
    variants = {"original", "recipe"}
    # OpenVINO computes in narrower floats where the CPU does; here it may not.
    entrants = [one for one in race["entrants"] if one["variant"] != "half"]
    found = {(one["runtime"], one["variant"]) for one in entrants}
    assert found == {(name, v) for name in ("onnxruntime", "openvino") for v in variants}
    absent, *types = race["absent"]
    assert all(line.startswith("the original in ") for line in types)
    assert all(one["rounds"] for one in race["entrants"] if one["variant"] == "half")
    assert absent.startswith("bench-litert: ")
    assert ">=99" in absent
    for one in entrants:
        assert one["rounds"] >= 1
        assert one["latency_ms_p50"] > 0
        assert one["why"]
    # A turn that something befell may be taken again, once.
    assert race["turns"] <= 2 * race["full_turns"]
    assert race["full_turns"] == 4 * len([one for one in race["entrants"] if one["rounds"]])


def test_what_ships_beat_the_best_float_of_any_runtime(raced: tuple[Path, Any, int]) -> None:
    _, report, code = raced
    race, comparison = report["race"], report["comparison"]
    originals = [one for one in race["entrants"] if one["variant"] == "original"]
    best = min(originals, key=lambda one: one["latency_ms_p50"])
    assert race["best_float"] == best["name"]
    rivals = {rival["kind"]: rival for rival in comparison["rivals"]}
    # Where what ships runs in the same runtime, that original is its baseline.
    assert ("best float" in rivals) == (best["target"] != report["target"])
    won = [one for one in race["entrants"] if one["ending"] == "won"]
    if code == 0:
        assert [one["target"] for one in won] == [report["target"]]
        for rival in rivals.values():
            assert rival["speedup_low"] >= 1
    else:
        # Nothing is shown to beat the original; or the clock could not tell now.
        uncertain = [one for one in race["entrants"] if one["ending"] == "uncertain"]
        assert [one["name"] for one in won] == ([best["name"]] if not uncertain else [])
        assert (code == 5) == bool(uncertain)


def test_a_target_of_the_board_is_still_deployed_by_itself(
    raced: tuple[Path, Any, int], cli: deploying.Cli
) -> None:
    project, _, _ = raced
    done = cli.run(project, "deploy", "bench-openvino", *RACE[2:])
    assert done.returncode in (0, 3, 5), done.stderr
    report = json.loads(done.stdout)
    assert (report["target"], report["race"]) == ("bench-openvino", None)
    # All was made for the race already.
    made = [stage["name"] for stage in report["stages"] if not stage["cached"]]
    assert not {"train", "quantize"} & set(made), made


def test_without_a_device_the_boards_first_target_is_built(
    raced: tuple[Path, Any, int], cli: deploying.Cli
) -> None:
    project, _, _ = raced
    (project / "none.yaml").write_text("devices: []\n")
    done = cli.run(project, "deploy", "bench", "--inventory", "none.yaml", "--json")
    report = json.loads(done.stdout)
    assert (report["target"], report["race"]) == ("bench-onnxruntime", None)
    assert done.returncode in (3, 5)
