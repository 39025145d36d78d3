"""A set that is too small to tell: refused with the number of samples, unless that is accepted."""

import json
import shutil
from pathlib import Path

import deploying

SMALL = "budgets: {max_metric_drop: 0.004}"
"""256 samples show at best that less than 0.009 is lost."""


def test_what_cannot_be_told_says_how_many_samples_are_needed(
    finished: Path, cli: deploying.Cli, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "project"))
    config = folder / "deploy.yaml"
    config.write_text(deploying.SHORT.replace("budgets: {max_metric_drop: 0.5}", SMALL))
    done = cli.run(folder)
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"]["decision"] == "refuse"
    (told,) = [each for each in report["checks"] if each["kind"] == "metric"]
    assert told["outcome"] == "unmeasured"
    assert told["text"].startswith("256 samples cannot tell")
    assert "samples are needed" in told["text"]
    change = report["candidate"]["change"]
    assert change["method"] == "answers"
    assert change["low"] <= change["drop"] <= change["high"]
    assert sum(row["samples"] for row in change["classes"]) == 256
    looks = report["looks"]
    assert looks["samples"] == 256
    assert looks["agreement"] > 0.5
    assert len(looks["occlusions"]) >= 5
    assert len(looks["exemplars"]) == 6

    config.write_text(config.read_text().replace("0.004}", "0.004, accept_uncertain: true}"))
    report = json.loads(cli.run(folder).stdout)
    (told,) = [each for each in report["checks"] if each["kind"] == "metric"]
    keeps = change["drop"] <= 0.004
    assert told["outcome"] == ("warning" if keeps else "fail")
    assert "accept_uncertain" in told["text"]
