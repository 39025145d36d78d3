"""What ExecuTorch's executor_runner does and prints, done by its Python module on this machine.

Run as a program. A copy with LOGS = False prints nothing, as a build without logging.
"""

import sys
import time
from pathlib import Path

import torch
from executorch.extension.pybindings import _C as library  # noqa: N811 - its name there

LOGS = True
FLAGS = {
    "model_path": "model.pte",
    "inputs": "",
    "output_file": "",
    "print_output": "summary",
    "num_executions": "1",
    "cpu_threads": "-1",
}


def say(level: str, text: str) -> None:
    if LOGS:
        print(
            f"{level} 00:00:00.003812 executorch:executor_runner.cpp:250] {text}", file=sys.stderr
        )


def main() -> int:
    flags = dict(FLAGS)
    for argument in sys.argv[1:]:
        name, _, value = argument.removeprefix("--").partition("=")
        if name not in flags:
            print(f"ERROR: unknown command line flag '{name}'", file=sys.stderr)
            return 1
        flags[name] = value
    library._unsafe_reset_threadpool(int(flags["cpu_threads"]))
    begun = time.perf_counter()
    try:
        program = library._load_program(flags["model_path"])
    except RuntimeError:
        say("E", f"Failed to parse model file {flags['model_path']}")
        return 1
    method_name = program.get_method_name(0)
    method = program.load_method(method_name)
    say("I", f"Model loaded in {(time.perf_counter() - begun) * 1000:f} ms.")
    about = method.method_meta()
    files = flags["inputs"].split(",")
    inputs = []
    for at in range(about.num_inputs()):
        values = torch.frombuffer(bytearray(Path(files[at]).read_bytes()), dtype=torch.float32)
        inputs.append(values.reshape(about.input_tensor_meta(at).sizes()))
    count = int(flags["num_executions"])
    for number in range(count):
        start = time.perf_counter()
        outputs = method.call(inputs)
        elapsed_ms = (time.perf_counter() - start) * 1000
        say("I", f"Iteration {number + 1} of {count}: {elapsed_ms:f} ms")
    say("I", f"Model executed successfully {count} time(s) in 1.000000 ms.")
    for at, output in enumerate(outputs if flags["output_file"] else ()):
        Path(f"{flags['output_file']}-{at}.bin").write_bytes(output.numpy().tobytes())
    return 0


sys.exit(main())
