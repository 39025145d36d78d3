"""`deploy TARGET TARGET`: what the targets have in common is done once."""

import json
from pathlib import Path

import deploying
import pytest

BOTH = ("deploy", "tiny", "raspberry-pi-5", "--inventory", "inventory.yaml", "--json")


@pytest.mark.slow
def test_one_training_where_the_scheme_is_portable(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    config = folder / "deploy.yaml"
    config.write_text(config.read_text().replace("mode: qat", "mode: qat\n  scheme: portable"))
    done = cli.run(folder, *BOTH)
    # The worst of a verdict on this machine and one that could not be measured.
    assert done.returncode in (3, 5), done.stderr
    here, board = json.loads(done.stdout)["reports"]
    assert deploying.epochs(folder) == 6
    trained = {name: deploying.cached(board)[name] for name in ("train", "prune", "quantize")}
    assert trained == {"train": True, "prune": True, "quantize": True}
    assert board["verdict"]["decision"] == "unmeasured"
    assert here["candidate"]["int8_op_fraction"] == 1.0
    # The same integers, shifted where the kernels take uint8.
    assert here["candidate"]["accuracy"] == pytest.approx(board["candidate"]["accuracy"], abs=0.01)
    assert [hop["kind"] for hop in here["candidate"]["hops"]] == [
        "converted",
        "exported",
        "kernels",
    ]
    assert all(hop["parity"]["top1_agreement"] > 0.98 for hop in here["candidate"]["hops"])


def test_targets_are_named_or_all(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    for arguments in (("deploy",), ("deploy", "tiny", "--all")):
        done = cli.run(folder, *arguments)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].endswith(
            "deploy: name at least one target, or give --all, not both"
        )
