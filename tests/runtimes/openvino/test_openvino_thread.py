"""With one thread, the thread that asks for an inference is the one that computes it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino", reason="needs openvino: pip install '.[openvino]'")

from onnx_models import GraphBuilder

from edgecompress.bundled import agent_dir

SHARE = """
import sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
from agent.runner_openvino import OpenVinoRunner
runner = OpenVinoRunner(sys.argv[2], 1, {})
runner.activate()
feed = {"x": np.ones((1, 64), np.float32)}
for _ in range(100):
    runner.infer(feed)
process, thread = time.process_time(), time.thread_time()
while time.process_time() - process < 0.3:
    runner.infer(feed)
print((time.thread_time() - thread) / (time.process_time() - process))
"""


def test_no_other_thread_computes(tmp_path: Path) -> None:
    """Another one would wait for this one's core, and be taken for another program there."""
    g = GraphBuilder()
    g.input("x", (1, 64))
    g.node("Relu", ["x"], "y")
    g.output("y", (1, 64))
    model = g.save(tmp_path / "m.onnx")
    command = [sys.executable, "-c", SHARE, str(agent_dir().parent), str(model)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    # What else OpenVINO and numpy have threads for takes next to nothing.
    assert float(ran.stdout) > 0.95
