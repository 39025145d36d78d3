"""What a command that only shows something does not load, and what a deploy from the store leaves
alone: seconds, which nobody would look for.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from reports import synthetic_report

from edgecompress.store import Store

TORCH = ("torch", "torchao", "torchmetrics", "transformers", "scipy", "matplotlib", "sympy")
FILES = ("onnx", "onnx_ir", "onnxruntime", "numpy")
SCRIPT = """
import json, sys
from edgecompress.cli import main
sys.argv = ["edgecompress", *json.loads(sys.argv[1])]
try: main()
except SystemExit as end: assert not end.code, end.code
print("loaded:", json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("light")
    store = Store(path / "runs")
    run = store.start_run("synthetic", "0" * 64)
    store.finish_run(run, synthetic_report(run), "<!doctype html>")
    return path


@pytest.mark.parametrize(
    ("arguments", "left_alone"),
    [
        (["runs"], (*TORCH, *FILES, "yaml", "jinja2", "edgecompress.spec.report")),
        (
            ["runs", "--json"],
            (*TORCH, *FILES, "yaml", "jinja2", "rich", "edgecompress.spec.report"),
        ),
        (["targets", "list"], (*TORCH, *FILES, "jinja2", "edgecompress.spec.report")),
        (["report", "latest"], (*TORCH, *FILES, "yaml", "jinja2", "edgecompress.report.verdict")),
        (["doctor"], (*TORCH, "onnx", "onnx_ir", "onnxruntime", "jinja2")),
        (["devices", "list"], (*TORCH, *FILES, "jinja2")),
    ],
    ids=" ".join,
)
def test_it_loads_no_more_than_it_shows(
    folder: Path, arguments: list[str], left_alone: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(done.stderr.rpartition("loaded: ")[2])
    assert "edgecompress.cli.app" in loaded
    assert done.stdout
    assert sorted(set(left_alone) & set(loaded)) == []


def test_the_order_of_a_deploy_loads_no_reader_and_no_writer_of_files() -> None:
    """A deploy whose stages are all in the store asks for none of them."""
    script = "import sys, edgecompress.pipeline.whole; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    heavy = {"sympy", "onnx", "onnx_ir", "onnxscript", "torchao", "torchmetrics", "scipy", "jinja2"}
    assert heavy & loaded == set()
    assert "edgecompress.compress.capture" not in loaded
